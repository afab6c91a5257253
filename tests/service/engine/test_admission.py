"""Who is taken on: by tokens and by time, before anything is spent on the call; and whose time is up."""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import pytest

from service.budget import Deadline
from service.call import estimated_tokens
from service.errors import DeadlineExceededError, OverloadedError
from service.scheduling.job import Lane

PATIENCE_S = 200.0
# A hundred seconds a token: what the test itself takes does not matter beside it.
SLOW = ((1, 100.0), (10, 1000.0))
LONG = "word " * 1000  # is not tokenized on the event loop

T = TypeVar("T")
Scripted = Callable[..., Any]
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def deadline_in(seconds: float) -> Deadline:
    return Deadline(time.monotonic() + seconds, seconds)


async def passed(deadline: Deadline) -> None:
    while deadline.remaining():  # noqa: ASYNC110  no clock announces anything
        await asyncio.sleep(0)


@pytest.mark.parametrize("lane", list(Lane))
def test_a_refused_call_is_not_tokenized(lane: Lane, scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, queue=4) as opened:
            tasks = [opened.asked("alpha", lane=lane)]
            await device.entered()
            tasks.append(opened.asked("beta beta beta beta", lane=lane))
            await opened.waiting(4)
            for text in ("gamma", LONG):
                with pytest.raises(OverloadedError):
                    await opened.asked(text, lane=lane)
            assert opened.queued() == 4
            device.gate.set()
            await asyncio.gather(*tasks)

    run(scenario())
    assert device.tokenized == ["alpha", "beta beta beta beta"]


def test_a_query_that_would_wait_too_long_is_refused_and_bulk_has_patience(
    scripted: Scripted, open_engine: OpenEngine
) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, cost=SLOW, wait_s=250.0) as opened:
            tasks = [opened.asked("alpha", lane=Lane.QUERY)]
            await device.entered()
            tasks.append(opened.asked("beta", lane=Lane.QUERY))  # waits for 100 s of alpha
            tasks.append(opened.asked("gamma", lane=Lane.QUERY))  # and for 100 s of beta
            await opened.waiting(2)
            with pytest.raises(OverloadedError, match=r"2 tokens wait in the query lane.* and 250000 ms") as raised:
                await opened.asked("delta", lane=Lane.QUERY)
            assert 1 < raised.value.retry_after_s <= 50  # what is over the limit, less what has passed
            tasks += [opened.asked("epsilon epsilon epsilon"), opened.asked("zeta")]
            await opened.waiting(6)
            device.gate.set()
            await asyncio.gather(*tasks)

    run(scenario())
    assert not device.saw("delta")


def test_a_query_that_would_come_too_late_for_its_deadline_is_refused(
    scripted: Scripted, open_engine: OpenEngine
) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, cost=SLOW) as opened:
            tasks = [opened.asked("alpha", lane=Lane.QUERY)]
            await device.entered()
            tasks.append(opened.asked("beta", lane=Lane.QUERY))
            await opened.waiting(1)
            for lane in Lane:
                patient = opened.asked("gamma", lane=lane, deadline=deadline_in(1000))
                await opened.waiting(2)
                patient.cancel()
                await asyncio.wait([patient])
            with pytest.raises(OverloadedError) as raised:
                await opened.asked("delta", lane=Lane.QUERY, deadline=deadline_in(50))
            assert 50 < raised.value.retry_after_s < 200
            device.gate.set()
            await asyncio.gather(*tasks)

    run(scenario())
    assert device.tokenized == ["alpha", "beta", "gamma", "gamma"]


@pytest.mark.parametrize(("words", "least", "most"), [(1, 200, 300), (100, 700, 800)])
def test_a_call_without_a_deadline_is_told_when_there_will_be_room(
    words: int, least: float, most: float, scripted: Scripted, open_engine: OpenEngine
) -> None:
    """7 tokens wait behind one in flight, 800 s in all; a tenth of it, or all, has to go first."""
    device = scripted(is_open=False)

    async def scenario() -> float:
        async with open_engine(device, cost=SLOW, queue=8) as opened:
            tasks = [opened.asked("alpha")]
            await device.entered()
            tasks.append(opened.asked("b b b b b b b"))
            await opened.waiting(7)
            with pytest.raises(OverloadedError) as raised:
                await opened.asked("gamma " * words)
            device.gate.set()
            await asyncio.gather(*tasks)
            return raised.value.retry_after_s

    # One word is estimated at 3 tokens: 2 too many of the 7 that wait.
    assert least <= run(scenario()) <= most


def test_announced_tokens_count_while_a_list_is_tokenized(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)
    device.tokenizing.clear()
    texts = [f"the text number {n}" for n in range(100)]
    announced = sum(estimated_tokens(len(text), 256) for text in texts)

    async def scenario() -> None:
        async with open_engine(device, queue=announced) as opened:
            long = opened.asked(*texts)
            await device.begun()
            assert opened.queued() == opened.engine.queued_tokens(Lane.BULK) == announced
            with pytest.raises(OverloadedError, match=f"{announced} tokens wait in the bulk lane"):
                await opened.asked("gamma")
            device.tokenizing.set()
            await device.entered()
            await opened.waiting(0)  # 400 true tokens are all in flight, and the announced ones are given back
            device.gate.set()
            assert (await long).tokens == 400

    run(scenario())


def test_the_deadline_is_past_already(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()

    async def scenario() -> None:
        async with open_engine(device) as opened:
            with pytest.raises(DeadlineExceededError) as raised:
                await opened.asked("alpha", deadline=deadline_in(-1))
            assert raised.value.stage == "queue"
            with pytest.raises(DeadlineExceededError) as raised:
                await opened.asked(LONG, deadline=deadline_in(-1))
            assert raised.value.stage == "tokenize"
            assert opened.queued() == 0
            for stage in ("queue", "tokenize"):
                assert opened.value("quarry_deadline_misses_total", stage=stage) == 1

    run(scenario())
    assert device.batches == []
    assert LONG not in device.tokenized


def test_a_deadline_that_passes_in_the_queue(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device) as opened:
            first = opened.asked("alpha")
            await device.entered()
            deadline = deadline_in(0.02)
            late, patient = opened.asked("beta", deadline=deadline), opened.asked("gamma", deadline=deadline_in(1000))
            await opened.waiting(2)
            await passed(deadline)
            device.gate.set()
            with pytest.raises(DeadlineExceededError, match="the deadline of 20 ms passed in stage 'queue'"):
                await late
            await asyncio.gather(first, patient)
            assert opened.queued() == 0
            assert opened.value("quarry_deadline_misses_total", stage="queue") == 1

    run(scenario())
    assert not device.saw("beta")
    assert device.saw("gamma")


def test_what_was_launched_before_its_deadline_is_answered(scripted: Scripted, open_engine: OpenEngine) -> None:
    """Whoever asked may have left; the engine has paid for the row and hands it out."""
    device = scripted(is_open=False)

    async def scenario() -> int:
        async with open_engine(device) as opened:
            deadline = deadline_in(PATIENCE_S / 4)
            task = opened.asked("alpha", deadline=deadline)
            await device.entered()
            device.gate.set()
            return (await task).tokens

    assert run(scenario()) == 1


def test_a_deadline_that_passes_while_a_long_list_is_tokenized(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()
    device.tokenizing.clear()

    async def scenario() -> None:
        async with open_engine(device) as opened:
            deadline = deadline_in(0.02)
            task = opened.asked(*(f"the text number {n}" for n in range(200)), deadline=deadline)
            await device.begun()
            await passed(deadline)
            device.tokenizing.set()
            with pytest.raises(DeadlineExceededError) as raised:
                await task
            assert raised.value.stage == "tokenize"
            assert opened.queued() == 0
            assert opened.value("quarry_deadline_misses_total", stage="tokenize") == 1

    run(scenario())
    assert len(device.tokenized) == 64
    assert device.batches == []


def test_a_tokenizer_that_fails_fails_its_own_call_only(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()
    tokenize = device.tokenize

    def failing(texts: list[str], kind: object) -> object:
        if any("bad" in text for text in texts):
            raise ZeroDivisionError("a strange text")
        return tokenize(texts, kind)

    device.tokenize = failing

    async def scenario() -> None:
        async with open_engine(device) as opened:
            tasks = [opened.asked(text) for text in ("alpha", "bad", LONG, LONG + "bad", "beta")]
            results = await asyncio.gather(*tasks, return_exceptions=True)
            failed = [isinstance(result, ZeroDivisionError) for result in results]
            assert failed == [False, True, False, True, False]
            assert opened.queued() == 0
            assert opened.engine.trouble is None

    run(scenario())


def test_the_state_of_the_engine_can_be_asked_for(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()

    async def scenario() -> dict[str, Any]:
        async with open_engine(device, budget=50) as opened:
            await opened.asked("alpha")
            described: dict[str, Any] = opened.engine.describe()
            opened.engine.measure()
            cost = described["models"]["hashing"]["cost"]
            assert opened.value("quarry_batch_seconds_error_ratio", model="hashing") == cost["error"]
            assert opened.value("quarry_batch_budget_tokens", model="hashing", lane="query") == 50
            return described

    described = run(scenario())
    assert described["trouble"] is None
    assert described["queued_tokens"] == {"query": 0, "bulk": 0}
    assert described["models"]["hashing"]["batch_tokens"] == {"query": 50, "bulk": 50}
    assert math.isfinite(described["models"]["hashing"]["cost"]["error"])
