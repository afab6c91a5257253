"""A caller that leaves: wherever its call is, nothing more is spent on it, and the accounts are square."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import pytest

from service.scheduling.job import Lane

PATIENCE_S = 200.0
LISTS = [[f"the text number {n} of list {number}" for n in range(200)] for number in range(3)]

T = TypeVar("T")
Scripted = Callable[..., Any]
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


async def left(task: "asyncio.Task[Any]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def cancelled(opened: Any) -> tuple[float, float]:  # noqa: ANN401
    """Tokens that nobody computed, and tokens that were computed for nobody."""
    name = "quarry_cancelled_tokens_total"
    return opened.value(name, stage="queued"), opened.value(name, stage="launched")


def test_while_its_list_is_tokenized(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()
    device.tokenizing.clear()

    async def scenario() -> None:
        async with open_engine(device) as opened:
            task = opened.asked(*LISTS[0])
            await device.begun()
            assert opened.queued() > 0
            await left(task)
            assert opened.queued() == 0
            assert opened.value("quarry_cancelled_tokens_total", stage="announced") > 0
            device.tokenizing.set()
            assert (await opened.asked("alpha")).tokens == 1

    run(scenario())
    assert device.tokenized == [*LISTS[0][:64], "alpha"]
    assert device.lengths() == [[1]]


def test_while_it_waits_for_a_tokenizer(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()
    device.tokenizing.clear()

    async def scenario() -> None:
        async with open_engine(device) as opened:
            busy = [opened.asked(*texts) for texts in LISTS[:2]]
            for _ in busy:
                await device.begun()
            before = opened.queued()
            task = opened.asked(*LISTS[2])
            await asyncio.sleep(0)
            assert opened.queued() > before
            await left(task)
            assert opened.queued() == before
            device.tokenizing.set()
            await asyncio.gather(*busy)
            assert opened.queued() == 0
            assert cancelled(opened) == (0, 0)

    run(scenario())
    assert sorted(device.tokenized) == sorted(LISTS[0] + LISTS[1])


@pytest.mark.parametrize("lane", list(Lane))
def test_in_the_queue(lane: Lane, scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device) as opened:
            first = opened.asked("alpha", lane=lane)
            await device.entered()
            task, staying = opened.asked("beta beta", lane=lane), opened.asked("gamma", lane=lane)
            await opened.waiting(3)
            await left(task)
            assert opened.engine.queued_tokens(lane) == 1
            assert cancelled(opened) == (2, 0)
            device.gate.set()
            await asyncio.gather(first, staying)
            assert opened.queued() == 0

    run(scenario())
    assert not device.saw("beta")


def test_in_flight(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device) as opened:
            task = opened.asked("alpha alpha alpha")
            await device.entered()
            other = opened.asked("beta")
            await opened.waiting(1)
            await left(task)
            assert cancelled(opened) == (0, 3)
            device.gate.set()
            assert (await other).tokens == 1
            assert opened.queued() == 0
            assert opened.engine.trouble is None

    run(scenario())


def test_half_of_it_in_flight_and_half_in_the_queue(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, budget=2) as opened:
            task = opened.asked("alpha alpha", "beta", "gamma gamma")
            await device.entered()
            await left(task)
            assert cancelled(opened) == (3, 2)
            assert opened.queued() == 0
            device.gate.set()
            assert (await opened.asked("delta")).tokens == 1

    run(scenario())
    assert device.lengths() == [[2], [1]]


def test_before_it_began(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()

    async def scenario() -> None:
        async with open_engine(device) as opened:
            await left(opened.asked("alpha"))
            assert opened.queued() == 0

    run(scenario())
    assert device.tokenized == []


def test_half_of_a_queued_load_costs_nothing(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, budget=8) as opened:
            first = opened.asked("alpha")
            await device.entered()
            tasks = [opened.asked(f"text{n} of many callers", lane=Lane.QUERY, key=str(n % 5)) for n in range(100)]
            await opened.waiting(400)
            for task in tasks[::2]:
                await left(task)
            assert opened.queued() == 200
            assert cancelled(opened) == (200, 0)
            device.gate.set()
            await asyncio.gather(first, *tasks[1::2])
            assert opened.value("quarry_tokens_total", model="hashing") == 201
            assert opened.queued() == 0

    run(scenario())
    assert not any(device.saw(f"text{n}") for n in range(0, 100, 2))
