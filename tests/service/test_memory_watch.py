"""What is done at each level of memory, and undone."""

import asyncio
import logging
import math
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from models.hashing import HashingEmbedder
from service.bulk_hold import Cause
from service.errors import OverloadedError
from service.memory_watch import MemoryWatch
from service.scheduling.job import Lane
from service.watermark import Level, Watermarks

PATIENCE_S = 200.0
MARKS = Watermarks(0.90, 0.95)
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]
Scripted = Callable[..., Any]
Memory = Any


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def watch(memory: Memory, opened: Any, every_s: float = 1.0) -> MemoryWatch:  # noqa: ANN401
    return MemoryWatch(memory, MARKS, opened.hold, opened.engine, opened.metrics.memory, every_s)


def test_at_the_low_mark_bulk_work_is_held_and_queries_are_not(
    open_engine: OpenEngine, scripted_memory: Memory
) -> None:
    async def scenario() -> None:
        async with open_engine(HashingEmbedder()) as opened:
            seen = watch(scripted_memory, opened)
            for share, level in ((0.5, Level.CLEAR), (0.91, Level.LOW), (0.89, Level.LOW), (0.87, Level.CLEAR)):
                scripted_memory.shares["cpu"] = share
                await seen.look()
                assert seen.level is level
                assert opened.hold.is_held is (level is Level.LOW)
                assert (await opened.asked("bees", lane=Lane.QUERY)).tokens > 0

    run(scenario())


def test_at_the_high_mark_fewer_queries_wait_and_whoever_is_refused_is_told_why(
    open_engine: OpenEngine, scripted: Scripted, scripted_memory: Memory
) -> None:
    async def refused(opened: Any) -> bool:  # noqa: ANN401
        """Whether nothing long is taken on; what is, is left waiting."""
        call = opened.asked("word " * 8, lane=Lane.QUERY)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not call.done():
            calls.append(call)
            return False
        with pytest.raises(OverloadedError, match="as memory is above its high mark") as caught:
            call.result()
        assert caught.value.retry_after_s > 0
        return True

    calls: list[asyncio.Task[Any]] = []

    async def scenario() -> None:
        device = scripted(is_open=False)
        async with open_engine(device, budget=4) as opened:
            try:
                seen = watch(scripted_memory, opened)
                calls.append(opened.asked("a", lane=Lane.QUERY))
                await device.entered()
                calls.append(opened.asked("b c", lane=Lane.QUERY))
                await asyncio.sleep(0)
                told = []
                for share in (0.5, 0.96, 0.94, 0.92):  # the third is within the slack of the mark
                    scripted_memory.shares["cpu"] = share
                    await seen.look()
                    told.append(await refused(opened))
                assert told == [False, True, True, False]
            finally:
                device.gate.set()
            await asyncio.gather(*calls)

    run(scenario())


def test_one_device_is_enough_and_a_start_of_the_model_server_holds_on(
    open_engine: OpenEngine, scripted_memory: Memory
) -> None:
    async def scenario() -> None:
        async with open_engine(HashingEmbedder()) as opened:
            seen = watch(scripted_memory, opened)
            scripted_memory.shares["cuda:0"] = 0.92
            await seen.look()
            assert {one.filling.device: one.level for one in seen.devices} == {"cpu": Level.CLEAR, "cuda:0": Level.LOW}
            assert opened.hold.is_held
            assert scripted_memory.given_back == 0  # a card's memory is not malloc's
            opened.hold.hold(Cause.START)
            del scripted_memory.shares["cuda:0"]
            await seen.look()
            assert opened.hold.is_held
            opened.hold.release(Cause.START)
            assert not opened.hold.is_held

    run(scenario())


def test_a_change_is_logged_once_and_the_gauges_follow(
    open_engine: OpenEngine, scripted_memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with open_engine(HashingEmbedder()) as opened:
            seen = watch(scripted_memory, opened)
            with caplog.at_level(logging.INFO, "quarry.memory"):
                for share in (0.5, 0.91, 0.92, 0.96, 0.96, 0.5, 0.5):
                    scripted_memory.shares["cpu"] = share
                    await seen.look()
                    reached = opened.value("quarry_memory_watermark", device="cpu", mark="low")
                    assert reached == (share > 0.9)
                    assert opened.value("quarry_memory_watermark", device="cpu", mark="high") == (share > 0.95)
                    assert opened.value("quarry_memory_share", device="cpu") == pytest.approx(share)

    run(scenario())
    told = [record for record in caplog.records if record.name == "quarry.memory"]
    assert [record.levelname for record in told] == ["WARNING", "ERROR", "INFO"]
    assert [record.share for record in told] == [0.91, 0.96, 0.5]


def test_what_was_freed_is_given_back_now_and_then(open_engine: OpenEngine, scripted_memory: Memory) -> None:
    async def scenario() -> None:
        async with open_engine(HashingEmbedder()) as opened:
            seen = watch(scripted_memory, opened)
            await seen.look()
            assert scripted_memory.given_back == 0
            scripted_memory.shares["cpu"] = 0.91
            for _ in range(25):
                await seen.look()
            assert scripted_memory.given_back == 3

    run(scenario())


def test_a_reading_that_fails_is_logged_once_changes_nothing_and_is_tried_again(
    open_engine: OpenEngine, scripted_memory: Memory, caplog: pytest.LogCaptureFixture
) -> None:
    failures, read_again = [OSError("gone")] * 3, asyncio.Event()
    read = scripted_memory.read

    async def failing() -> Any:  # noqa: ANN401
        if opened_once and failures:
            raise failures.pop()
        if opened_once:
            read_again.set()
        opened_once.append(True)
        return await read()

    opened_once: list[bool] = []
    scripted_memory.read = failing
    scripted_memory.shares["cpu"] = 0.91

    async def scenario() -> None:
        async with open_engine(HashingEmbedder()) as opened, watch(scripted_memory, opened, every_s=0.0):
            await read_again.wait()
            assert opened.hold.is_held

    run(scenario())
    assert [record.levelname for record in caplog.records if "cannot be read" in record.message] == ["ERROR"]


def test_whoever_waits_at_the_gate_begins_nothing(open_engine: OpenEngine) -> None:
    async def scenario() -> None:
        async with open_engine(HashingEmbedder()) as opened:
            await opened.hold.opened(0.0)
            assert await opened.hold.quiet(0.0)
            opened.hold.hold(Cause.MEMORY)
            with pytest.raises(OverloadedError, match="held while memory is above its low mark"):
                await opened.hold.opened(0.0)
            waiting = asyncio.create_task(opened.hold.opened(math.inf))
            await asyncio.sleep(0)
            opened.hold.release(Cause.MEMORY)
            await waiting
            assert await opened.hold.quiet(0.0)

    run(scenario())


def test_a_reading_that_does_not_end_is_given_up_and_its_age_is_told(
    open_engine: OpenEngine, scripted_memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with open_engine(HashingEmbedder()) as opened:
            seen = watch(scripted_memory, opened)
            await seen.look()
            read_at = seen._read_at
            monkeypatch.setattr("service.memory_watch._READ_S", 0.01)
            monkeypatch.setattr(scripted_memory, "read", asyncio.Event().wait)
            with pytest.raises(TimeoutError):
                await seen.look()
            assert seen._read_at == read_at
            before = opened.value("quarry_memory_age_seconds")
            assert opened.value("quarry_memory_age_seconds") >= before >= 0.01

    run(scenario())
