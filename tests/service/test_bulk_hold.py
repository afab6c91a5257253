"""The gate of bulk work."""

import asyncio
import math
from collections.abc import Coroutine
from typing import Any

import pytest

from service.bulk_hold import BulkHold, Cause
from service.errors import OverloadedError

PATIENCE_S = 200.0


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def test_who_waits_goes_on_when_the_gate_opens() -> None:
    async def scenario() -> None:
        hold, passed = BulkHold(), asyncio.Event()
        hold.hold(Cause.START)

        async def work() -> None:
            async with hold.step(math.inf):
                passed.set()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        assert hold.is_held
        assert not passed.is_set()
        hold.release(Cause.START)
        await task
        assert passed.is_set()

    run(scenario())


def test_who_waits_for_too_long_is_told_when_to_come_again() -> None:
    async def scenario() -> None:
        hold = BulkHold(longest_wait_s=0.0)
        hold.hold(Cause.START)
        for wait_s in (None, 0.01):
            with pytest.raises(OverloadedError, match="bulk work is held") as caught:
                async with hold.step(wait_s):
                    pytest.fail("the gate was closed")
            assert caught.value.retry_after_s > 0
        assert await hold.quiet(PATIENCE_S), "nobody began a step"

    run(scenario())


def test_quiet_is_when_the_last_step_has_ended_however_it_did() -> None:
    async def scenario() -> None:
        hold, go_on = BulkHold(), asyncio.Event()

        async def work(error: bool) -> None:
            async with hold.step():
                await go_on.wait()
                if error:
                    raise ValueError

        tasks = [asyncio.create_task(work(error)) for error in (False, True)]
        await asyncio.sleep(0)
        hold.hold(Cause.START)
        assert not await hold.quiet(0.0)
        go_on.set()
        assert await hold.quiet(PATIENCE_S)
        await asyncio.gather(*tasks, return_exceptions=True)

    run(scenario())


def test_when_the_process_ends_nobody_waits_who_was_to_be_answered() -> None:
    async def scenario() -> None:
        hold = BulkHold()
        hold.hold(Cause.START)

        async def work(wait_s: float | None) -> None:
            async with hold.step(wait_s):
                pass

        asked, own = asyncio.create_task(work(None)), asyncio.create_task(work(math.inf))
        await asyncio.sleep(0)
        hold.close()
        with pytest.raises(OverloadedError, match="bulk work is held"):
            await asked
        with pytest.raises(OverloadedError):
            await work(None)
        assert not own.done(), "the lifespan ends its own tasks itself"
        hold.release(Cause.START)
        await own

    run(scenario())
