"""Who goes away closes the connection to the model server at once: that is how vLLM frees the sequence."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

import scripted_llm as llm
from scripted_llm import ScriptedLlm, eventually, said
from service.budget import Deadline
from service.generation.base import Delta, GenerationRequest, LlmCall, Turn
from service.generation.chat_client import ChatClient

Ask = Callable[..., GenerationRequest]
Open = Callable[..., AbstractAsyncContextManager[Any]]


def on(where: str, tmp_path: Path) -> Path | None:
    return tmp_path / "llm.sock" if where == "socket" else None


@pytest.mark.parametrize("where", ["tcp", "socket"])
def test_closing_the_generator_in_mid_stream(where: str, opened: Open, asked: Ask, tmp_path: Path) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([llm.silent_after(said("First"))])
        async with opened(server, socket=on(where, tmp_path)) as it:
            events = it.generator.generate(asked())
            assert await anext(events) == Delta("First")
            assert (server.gone, it.metric("quarry_llm_slots")) == (0, 1)
            await events.aclose()
            await eventually(lambda: server.gone == 1)
            assert it.metric("quarry_llm_slots") == 0
            assert it.metric("quarry_llm_requests_total", outcome="abandoned") == 1

    asyncio.run(scenario())


@pytest.mark.parametrize("where", ["tcp", "socket"])
@pytest.mark.parametrize("behaviour", [llm.silent, llm.silent_after(), llm.silent_after(said("First"))])
def test_cancelling_whoever_waits(
    where: str, behaviour: llm.Behaviour, opened: Open, asked: Ask, tmp_path: Path
) -> None:
    """Before headers, before text, between two pieces of it."""

    async def scenario() -> None:
        server = ScriptedLlm([behaviour])
        async with opened(server, socket=on(where, tmp_path)) as it:
            asking = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: server.asked)
            assert server.gone == 0
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await eventually(lambda: server.gone == 1)
            assert it.metric("quarry_llm_slots") == 0

    asyncio.run(scenario())


def test_cancelling_a_request_that_is_not_streamed() -> None:
    async def scenario() -> None:
        server = ScriptedLlm(tokenize=llm.silent)
        async with server.listening():
            client = ChatClient(server.url, None)
            asking = asyncio.create_task(client.tokenize({"messages": []}, Deadline.after(60_000)))
            await eventually(lambda: server.received)
            assert server.gone == 0
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await eventually(lambda: server.gone == 1)
            await client.aclose()

    asyncio.run(scenario())


def test_cancelling_a_rewrite(opened: Open) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([llm.silent])
        async with opened(server) as it:
            call = LlmCall(Deadline.after(60_000))
            asking = asyncio.create_task(it.generator.standalone("And then?", [Turn("user", "Do keys rotate?")], call))
            await eventually(lambda: server.asked)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            await eventually(lambda: server.gone == 1)

    asyncio.run(scenario())


def test_a_whole_answer_leaves_the_connection_for_the_next(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm()
        async with opened(server) as it:
            for _ in range(5):
                await it.ask(asked())
            assert (len(server.asked), server.connections) == (5, 1)

    asyncio.run(scenario())
