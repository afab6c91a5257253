"""Drain: the end of both processes in order."""

import asyncio

from service.up.events import report
from service.up.kept_llm import KeptLlm
from service.up.kept_serve import KeptServe


async def drain(serve: KeptServe, llm: KeptLlm | None, hurry: asyncio.Event) -> None:
    """Let `quarry serve` finish its answers, then end the server that writes them.

    Args:
        hurry: set when somebody will not wait.
    """
    report("up", "draining")
    serve.is_ending = True
    if llm:
        llm.is_ending = True
    await serve.end(hurry)
    if llm:
        await llm.end(hurry)
