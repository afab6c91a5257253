"""`quarry serve` with parts that break on a word and say it, and every logger of the process at its loudest."""

import asyncio
import gc
import logging
import sys
from typing import Any

from service.access.keys import Keys
from service.cli.main import main
from service.ingest.chunking import Chunker
from service.passage_sentences import PassageSentences
from service.planner import Planner

WORD = "BREAK"

logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)


def breaks(owner: Any, name: str) -> None:  # noqa: ANN401
    """Let a method fail in a way that nothing foresees, with all that it was given in its mouth."""
    whole = getattr(owner, name)

    def broken(*given: Any, **named: Any) -> Any:  # noqa: ANN401
        if WORD not in f"{given} {named}":
            return whole(*given, **named)
        try:
            raise KeyError(str(given))
        except KeyError as error:
            error.add_note(str(given))
            raise ExceptionGroup(f"cannot {given}", [ValueError(str(given))]) from error

    setattr(owner, name, broken)


async def forgotten(text: str) -> None:
    raise ValueError(text)


def forgets(shown: Any) -> Any:  # noqa: ANN401
    """Begin a task and a callback that nobody waits for, and that fail with what was shown."""

    def broken(keys: Keys, text: str) -> Any:  # noqa: ANN401
        if WORD in text:
            loop = asyncio.get_running_loop()
            loop.create_task(forgotten(text)).add_done_callback(lambda _: gc.collect())
            loop.call_soon(refuse, text)
        return shown(keys, text)

    return broken


def refuse(text: str) -> None:
    raise ValueError(text)


Keys.shown = forgets(Keys.shown)  # type: ignore[method-assign]
breaks(Planner, "plan")
breaks(PassageSentences, "of")
breaks(Chunker, "chunks")
main()
