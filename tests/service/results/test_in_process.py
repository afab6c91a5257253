"""Results in memory: bounded by bytes and by time."""

import asyncio

from service.results.in_process import InProcessResults
from service.results.store import ResultStore
from service.telemetry.metrics import Metrics


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_all_of_it_is_bounded_and_what_is_asked_for_stays() -> None:
    async def scenario() -> None:
        most = 20_000
        results = InProcessResults(most, 60.0, Metrics().results)
        store: ResultStore = results
        await store.put("asked", b"x" * 1000)
        for number in range(100):
            await store.put(str(number), bytes(number * 50))
            assert await store.get("asked") == b"x" * 1000
            assert results.size_bytes <= most
        assert await store.get("0") == "miss"
        await store.put("large", bytes(most))
        assert await store.get("large") == "miss"
        assert await store.get("99") == bytes(99 * 50)

    asyncio.run(scenario())


def test_what_has_had_its_time_is_gone() -> None:
    async def scenario() -> None:
        clock = Clock()
        results = InProcessResults(10_000, 60.0, Metrics().results, clock)
        await results.put("a", b"x")
        clock.now += 59
        assert await results.get("a") == b"x"
        clock.now += 2
        assert await results.get("a") == "miss"

    asyncio.run(scenario())
