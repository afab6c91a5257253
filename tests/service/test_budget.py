"""Deadlines."""

import asyncio

import pytest

from service.budget import Deadline
from service.errors import DeadlineExceededError


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time that deadlines read, to be set by the test."""
    now = [1000.0]
    monkeypatch.setattr("service.budget.time.monotonic", lambda: now[0])
    return now


def test_what_remains(clock: list[float]) -> None:
    deadline = Deadline.after(1500)
    assert (deadline.at, deadline.budget_s, deadline.remaining()) == (1001.5, 1.5, 1.5)
    clock[0] += 1
    assert deadline.remaining() == 0.5
    clock[0] += 1
    assert deadline.remaining() == 0


def test_an_earlier_deadline_keeps_the_budget_for_its_message(clock: list[float]) -> None:
    assert Deadline.after(1000).earlier(0.25) == Deadline(clock[0] + 0.75, 1.0)


def test_a_block_in_time_is_left_alone() -> None:
    async def scenario() -> str:
        async with Deadline.after(600_000).enforced("search"):
            return "done"

    assert asyncio.run(scenario()) == "done"


def test_a_block_that_is_late_is_cancelled_and_the_stage_named() -> None:
    cancelled: list[bool] = []

    async def wait_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def scenario() -> None:
        async with Deadline.after(1).enforced("embed"):
            await wait_for_ever()

    with pytest.raises(DeadlineExceededError, match="the deadline of 1 ms passed in stage 'embed'") as raised:
        asyncio.run(scenario())
    assert raised.value.stage == "embed"
    assert cancelled == [True]


def test_other_failures_stay_what_they_are() -> None:
    async def scenario() -> None:
        async with Deadline.after(600_000).enforced("search"):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        asyncio.run(scenario())


def test_cancelling_from_outside_is_no_deadline() -> None:
    async def scenario() -> None:
        started = asyncio.Event()

        async def block() -> None:
            async with Deadline.after(600_000).enforced("search"):
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(block())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_a_stage_ends_at_its_budget_or_at_the_deadline_if_that_is_sooner(clock: list[float]) -> None:
    deadline = Deadline.after(1000)
    assert deadline.within(None, "budgets.embed_ms") is deadline
    assert deadline.within(5000, "budgets.embed_ms") is deadline
    stage = deadline.within(200, "budgets.embed_ms")
    assert (stage.at, stage.budget_s) == (clock[0] + 0.2, 0.2)
    assert str(stage.exceeded("embed")) == "the budgets.embed_ms of 200 ms passed in stage 'embed'"
    assert str(deadline.exceeded("embed")) == "the deadline of 1000 ms passed in stage 'embed'"
