"""The background task that builds IVF-PQ."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from indexes.errors import StoreUnavailableError
from service.sealer import Sealer

PATIENCE_S = 20.0


class Segments:
    """As much of a collection as the sealer sees: a number of full segments, and what happens at each seal."""

    version = 1

    def __init__(self, full: int, failures: int = 0, error: Callable[[], Exception] = lambda: ValueError("no")) -> None:
        self.full = full
        self.failures = failures
        self.error = error
        self.sealed = 0
        self.threads: set[str] = set()
        self.calls = threading.Semaphore(0)

    @property
    def needs_seal(self) -> bool:
        return self.full > 0

    def seal(self) -> bool:
        self.threads.add(threading.current_thread().name)
        self.calls.release()
        if self.failures:
            self.failures -= 1
            raise self.error()
        if not self.full:
            return False
        self.full -= 1
        self.sealed += 1
        return True

    async def called(self, times: int) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(self.calls.acquire, timeout=PATIENCE_S)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def notify(sealer: Sealer, segments: Segments) -> None:
    sealer.notify(segments)  # type: ignore[arg-type]


def test_every_full_segment_is_sealed_off_the_loop() -> None:
    one, two, none = Segments(2), Segments(1), Segments(0)

    async def scenario() -> None:
        async with Sealer() as sealer:
            for segments in (one, two, none):
                notify(sealer, segments)
            await one.called(3)
            await two.called(2)
            assert sealer.is_running

    run(scenario())
    assert (one.sealed, two.sealed, none.sealed) == (2, 1, 0)
    assert none.threads == set()
    assert all(name.startswith("quarry-sealer") for name in one.threads | two.threads)


@pytest.mark.parametrize("error", [ValueError, RuntimeError, MemoryError, lambda: StoreUnavailableError("closed")])
def test_a_seal_that_fails_is_logged_and_the_next_write_tries_again(
    error: Callable[[], Exception], caplog: pytest.LogCaptureFixture
) -> None:
    segments = Segments(1, failures=1, error=error)

    async def scenario() -> None:
        async with Sealer() as sealer:
            notify(sealer, segments)
            await segments.called(1)
            while "could not be sealed" not in caplog.text:  # noqa: ASYNC110  logging announces nothing
                await asyncio.sleep(0)
            assert sealer.is_running
            notify(sealer, segments)
            await segments.called(2)

    with caplog.at_level("ERROR", "quarry.sealer"):
        run(scenario())
    assert segments.sealed == 1


def test_an_end_with_nothing_to_do() -> None:
    async def scenario() -> None:
        async with Sealer() as sealer:
            assert sealer.is_running
        assert not sealer.is_running

    run(scenario())
