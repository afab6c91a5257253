"""What `quarry serve` makes of its parent's words."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from service.bulk_hold import BulkHold
from service.generation.supervision import Supervision
from service.link import Link
from service.supervised import Supervised

PATIENCE_S = 200.0


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


class Pair:
    """Both ends of a link, and what they change."""

    def __init__(self, parent: Link, supervised: Supervised, seen: Supervision, hold: BulkHold) -> None:
        self.parent, self.supervised, self.seen, self.hold = parent, supervised, seen, hold
        self._messages = aiter(parent.messages())

    async def said(self) -> Any:  # noqa: ANN401
        return await anext(self._messages)

    async def tell(self, phase: str, why: str = "") -> None:
        self.parent.send({"llm": "main", "phase": phase, "why": why})
        while (self.seen.phase, self.seen.why) != (phase, why):  # noqa: ASYNC110  nobody announces it
            await asyncio.sleep(0)


@asynccontextmanager
async def opened() -> AsyncIterator[Pair]:
    ours, theirs = socket.socketpair()
    seen, hold = Supervision(), BulkHold()
    parent = await Link.over(ours)
    async with Supervised(theirs.detach(), {"main": seen}, hold) as supervised:
        yield Pair(parent, supervised, seen, hold)
    parent.close()


def test_bulk_work_is_held_while_the_server_starts_and_only_then() -> None:
    async def scenario() -> None:
        async with opened() as pair:
            async with pair.hold.step():
                await pair.tell("starting")
                assert pair.hold.is_held
                answer = asyncio.create_task(pair.said())
                await asyncio.sleep(0)
                assert not answer.done(), "a step is under way"
            assert await answer == {"held": True}
            assert pair.supervised.describe()["bulk_work"] == "held"
            await pair.tell("down", "exit code 1")
            assert not pair.hold.is_held
            await pair.tell("starting")
            assert await pair.said() == {"held": True}
            await pair.tell("ready")
            assert not pair.hold.is_held
            assert pair.supervised.describe() == {
                "llm": {"main": {"phase": "ready", "why": ""}},
                "bulk_work": "running",
            }

    run(scenario())


def test_a_start_that_is_over_before_the_work_was_held_is_not_answered() -> None:
    async def scenario() -> None:
        async with opened() as pair:
            async with pair.hold.step():
                await pair.tell("starting")
                await pair.tell("down", "it is gone")
            pair.supervised.report_ready()
            assert await pair.said() == {"ready": True}

    run(scenario())


def test_a_parent_that_is_gone_holds_nothing_any_more(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with opened() as pair:
            await pair.tell("starting")
            pair.parent.close()
            while pair.seen.phase != "unsupervised":  # noqa: ASYNC110  as above
                await asyncio.sleep(0)
            assert not pair.hold.is_held
            pair.supervised.report_ready()  # to nobody

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert "nobody keeps the language model's server alive" in caplog.text


def test_a_stream_that_moves_is_reported_once_a_second_at_most() -> None:
    async def scenario() -> None:
        async with opened() as pair:
            for _ in range(1000):
                pair.seen.report_token()
            pair.supervised.report_ready()
            said = [await pair.said(), await pair.said()]
            assert list(said[0]) == ["token_at"]
            assert said[1] == {"ready": True}

    run(scenario())


def test_what_is_no_message_of_ours_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with opened() as pair:
            pair.parent.send({"llm": "another", "phase": "down", "why": ""})
            pair.parent.send({"surprise": 1})
            await pair.tell("ready")

    with caplog.at_level(logging.WARNING):
        run(scenario())
    assert "surprise" in caplog.text


def test_without_a_parent_there_is_nothing_to_do() -> None:
    async def scenario() -> None:
        seen = Supervision()
        async with Supervised(None, {"main": seen}, BulkHold()) as supervised:
            supervised.report_ready()
            seen.report_token()
        assert seen.phase == "unsupervised"

    run(scenario())


def test_a_descriptor_that_is_no_link_is_an_error() -> None:
    async def scenario() -> None:
        with pytest.raises(OSError):
            async with Supervised(987, {}, BulkHold()):
                pass

    run(scenario())
