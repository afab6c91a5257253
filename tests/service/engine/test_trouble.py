"""A device that is lost, stuck or dead: nobody waits for ever, and nobody is taken on."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from models.base import DeviceLostError
from service.batching import Embedded
from service.errors import EmbedderUnavailableError
from service.scheduling.job import Lane

PATIENCE_S = 200.0

T = TypeVar("T")
Scripted = Callable[..., Any]
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


class Died(BaseException):
    """What no loop catches."""


async def one_in_flight_and_two_waiting(opened: Any, device: Any) -> "list[asyncio.Task[Embedded]]":  # noqa: ANN401
    tasks = [opened.asked("alpha")]
    await device.entered()
    tasks += [opened.asked("beta"), opened.asked("gamma", lane=Lane.QUERY)]
    await opened.waiting(2)
    return tasks


async def stalls_and_recovers(opened: Any, device: Any, late: Callable[[bool], None], *texts: str) -> None:  # noqa: ANN401
    """A forward of ``texts`` hangs beyond the limit, then comes back however it will, and the next call works."""
    task = opened.asked(*texts)
    await device.entered()
    late(True)
    with pytest.raises(EmbedderUnavailableError, match="under way"):
        await task
    late(False)
    device.gate.set()
    while opened.engine.trouble:  # noqa: ASYNC110  the engine announces no change of it
        await asyncio.sleep(0)
    assert (await opened.asked("beta")).tokens == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DeviceLostError("an illegal access"), "the forward failed: DeviceLostError: an illegal access"),
        (Died(), "the device thread ended: Died()"),
    ],
)
def test_the_end_of_the_device_is_the_end_for_everybody(
    error: BaseException, said: str, scripted: Scripted, open_engine: OpenEngine
) -> None:
    device = scripted(is_open=False)

    async def scenario() -> list[Embedded | BaseException]:
        async with open_engine(device, budget=1) as opened:
            # A lost device refuses whatever the thread launches before the loop has heard of it.
            device.failures.extend([error] * 3)
            tasks = await one_in_flight_and_two_waiting(opened, device)
            device.gate.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            while opened.engine.trouble is None:  # noqa: ASYNC110  the engine announces no change of it
                await asyncio.sleep(0)
            assert opened.engine.trouble == opened.engine.describe()["trouble"] == said
            launched = len(device.batches)
            for text in ("delta", "delta " * 1000):
                with pytest.raises(EmbedderUnavailableError, match=said.replace("(", r"\(").replace(")", r"\)")):
                    await opened.asked(text)
            assert len(device.batches) == launched
            assert opened.queued() == 0
            assert opened.lost == ["lost"]
        assert opened.engine.trouble == said  # the stop does not hide it
        assert opened.lost == ["lost"]
        return results

    results = run(scenario())
    assert all(isinstance(result, EmbedderUnavailableError) for result in results)
    assert {str(result) for result in results} == {said}
    assert "delta" not in device.tokenized


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """(True) the engine's clock is so late that every forward looks stuck; (False) so early that none does."""
    clock = SimpleNamespace(off=-1000.0)
    monkeypatch.setattr("service.engine.time", SimpleNamespace(monotonic=lambda: time.monotonic() + clock.off))

    def set_late(is_late: bool) -> None:
        clock.off = 1000.0 if is_late else -1000.0

    return set_late


def test_a_forward_that_hangs_is_noticed_and_survived(
    late: Callable[[bool], None], scripted: Scripted, open_engine: OpenEngine
) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, stall_s=0.01) as opened:
            for _ in range(2):  # the watchdog looks again after it has slept
                late(False)
                tasks = await one_in_flight_and_two_waiting(opened, device)
                late(True)
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(result, EmbedderUnavailableError) for result in results)
                assert all("a batch has been under way for " in str(result) for result in results)
                assert "the limit is 0.01 s" in opened.engine.trouble
                assert opened.queued() == 0
                with pytest.raises(EmbedderUnavailableError, match="a batch has been under way"):
                    await opened.asked("delta")
                late(False)
                device.gate.set()
                while opened.engine.trouble:  # noqa: ASYNC110  the engine announces no change of it
                    await asyncio.sleep(0)
                assert (await opened.asked("epsilon")).tokens == 1
                await device.entered()
                device.gate.clear()
            assert opened.lost == []

    run(scenario())
    assert not any(device.saw(word) for word in ("beta", "gamma", "delta"))


def test_a_hanging_forward_that_fails_in_the_end_is_over_too(
    late: Callable[[bool], None], scripted: Scripted, open_engine: OpenEngine
) -> None:
    device = scripted(is_open=False)
    device.failures.append(RuntimeError("at last"))

    async def scenario() -> None:
        async with open_engine(device, stall_s=0.01) as opened:
            await stalls_and_recovers(opened, device, late, "alpha")

    run(scenario())


def test_a_slow_device_within_its_limit_is_left_alone(
    late: Callable[[bool], None], scripted: Scripted, open_engine: OpenEngine
) -> None:
    """The watchdog looks many times meanwhile."""
    device = scripted(is_open=False)
    late(False)

    async def scenario() -> None:
        async with open_engine(device, stall_s=0.001) as opened:
            tasks = await one_in_flight_and_two_waiting(opened, device)
            first = opened.engine._watchdog  # there is no other sign of its having looked
            for _ in range(3):
                while opened.engine._watchdog is first:  # noqa: ASYNC110  the engine announces no change of it
                    await asyncio.sleep(0)
                first = opened.engine._watchdog
            assert opened.engine.trouble is None
            device.gate.set()
            await asyncio.gather(*tasks)

    run(scenario())


def test_a_lost_device_ends_the_tokenizing_of_a_long_list(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()

    async def scenario() -> None:
        async with open_engine(device) as opened:
            device.tokenizing.clear()
            long = opened.asked(*(f"text number {n}" for n in range(200)))
            await device.begun()
            device.failures.append(DeviceLostError("gone"))
            device.tokenizing.set()
            short = opened.asked("alpha", lane=Lane.QUERY)
            results = await asyncio.gather(long, short, return_exceptions=True)
            assert all(isinstance(result, EmbedderUnavailableError) for result in results)
            assert opened.queued() == 0

    run(scenario())


@pytest.mark.parametrize("count", [1, 200])
def test_a_stop_during_tokenizing(count: int, scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()
    device.tokenizing.clear()

    async def scenario() -> "asyncio.Task[Embedded]":
        async with open_engine(device) as opened:
            task = opened.asked(*(f"number {n} " * 200 for n in range(count)))
            await device.begun()
            device.tokenizing.set()
        with pytest.raises(EmbedderUnavailableError, match="the server is stopping"):
            await task
        assert opened.queued() == 0
        return task

    run(scenario())
    assert device.batches == []


def test_a_hanging_forward_that_runs_out_of_memory_in_the_end_is_over_too(
    late: Callable[[bool], None], scripted: Scripted, open_engine: OpenEngine
) -> None:
    """Its callers are gone, so its halves hold nobody, and nothing else would land."""
    device = scripted(is_open=False)
    device.fitting = 3

    async def scenario() -> None:
        async with open_engine(device, stall_s=0.01) as opened:
            await stalls_and_recovers(opened, device, late, "alpha beta", "gamma delta")

    run(scenario())


def test_a_batch_that_runs_out_of_memory_during_the_stop_leaves_nobody_hanging(
    scripted: Scripted, open_engine: OpenEngine
) -> None:
    device = scripted(is_open=False)
    device.fitting = 3

    async def scenario() -> BaseException | Embedded:
        async with open_engine(device) as opened:
            task = opened.asked("alpha beta", "gamma delta")
            await device.entered()
            asyncio.get_running_loop().call_later(0.05, device.gate.set)
        return (await asyncio.gather(task, return_exceptions=True))[0]

    assert str(run(scenario())) == "the server is stopping"


def test_a_forward_that_does_not_come_back_does_not_hold_up_the_stop(
    monkeypatch: pytest.MonkeyPatch, scripted: Scripted, open_engine: OpenEngine
) -> None:
    monkeypatch.setattr("service.engine._STOP_S", 0.01)
    device = scripted(is_open=False)

    async def scenario() -> tuple[bool, BaseException | Embedded]:
        async with open_engine(device) as opened:
            task = opened.asked("alpha")
            await device.entered()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        device.gate.set()  # so that the test's own process can end
        return opened.engine.is_stuck, result

    is_stuck, result = run(scenario())
    assert is_stuck
    assert str(result) == "the server is stopping"


def test_values_that_are_not_numbers_fail_their_caller_alone(scripted: Scripted, open_engine: OpenEngine) -> None:
    class Overflowing(scripted):  # type: ignore[misc, valid-type]
        def launch(self, batch: Any) -> Any:  # noqa: ANN401
            launched = super().launch(batch)
            launched.rows[[len(ids) == 2 for ids in batch]] = float("nan")
            return launched

    device = Overflowing(is_open=False)

    async def scenario() -> list[Embedded | BaseException]:
        async with open_engine(device) as opened:
            tasks = [opened.asked("alpha")]
            await device.entered()
            tasks += [opened.asked("beta"), opened.asked("gamma gamma"), opened.asked("delta")]
            await opened.waiting(4)
            device.gate.set()
            return await asyncio.gather(*tasks, return_exceptions=True)

    *_, spoilt, fine = run(scenario())
    assert isinstance(spoilt, EmbedderUnavailableError)
    assert "not numbers" in str(spoilt)
    assert isinstance(fine, Embedded)
