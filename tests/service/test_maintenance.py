"""The background task that keeps indexes in shape."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from indexes.errors import StoreUnavailableError
from service.bulk_hold import BulkHold, Cause
from service.maintenance import Maintenance
from service.telemetry.index import IndexMetrics

PATIENCE_S = 200.0


class Collection:
    """As much of a collection as maintenance sees: a number of steps that are due, and what happens at each."""

    version = 1
    kind = "sealed"
    trouble = ("stored vectors are damaged", "the words are damaged")

    def __init__(self, due: int, failures: int = 0, error: Callable[[], Exception] = lambda: ValueError("no")) -> None:
        self.upkeep = self
        self.due = due
        self.failures = failures
        self.error = error
        self.done = 0
        self.threads: set[str] = set()
        self.calls = threading.Semaphore(0)

    @property
    def is_due(self) -> bool:
        return self.due > 0

    def step(self) -> str | None:
        self.threads.add(threading.current_thread().name)
        self.calls.release()
        if self.failures:
            self.failures -= 1
            raise self.error()
        if not self.due:
            return None
        self.due -= 1
        self.done += 1
        return self.kind

    async def called(self, times: int) -> None:
        for _ in range(times):
            assert await asyncio.to_thread(self.calls.acquire, timeout=PATIENCE_S)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def notify(maintenance: Maintenance, collection: Collection) -> None:
    maintenance.notify(collection)  # type: ignore[arg-type]


def test_every_step_that_is_due_is_taken_off_the_loop(registry: CollectorRegistry) -> None:
    one, two, none = Collection(2), Collection(1), Collection(0)

    async def scenario() -> None:
        async with Maintenance(IndexMetrics(registry), BulkHold()) as maintenance:
            for collection in (one, two, none):
                notify(maintenance, collection)
            await one.called(3)
            await two.called(2)
            assert maintenance.is_running

    run(scenario())
    assert (one.done, two.done, none.done) == (2, 1, 0)
    assert registry.get_sample_value("quarry_index_seconds_count", {"kind": "sealed"}) == 3
    assert registry.get_sample_value("quarry_index_failures_total") == 0
    assert none.threads == set()
    assert all(name.startswith("quarry-maintenance") for name in one.threads | two.threads)


@pytest.mark.parametrize(
    "error", [ValueError, RuntimeError, MemoryError, AssertionError, OSError, lambda: StoreUnavailableError("closed")]
)
def test_a_step_that_fails_is_logged_and_the_next_write_tries_again(
    error: Callable[[], Exception], caplog: pytest.LogCaptureFixture, registry: CollectorRegistry
) -> None:
    collection = Collection(1, failures=1, error=error)

    async def scenario() -> None:
        async with Maintenance(IndexMetrics(registry), BulkHold()) as maintenance:
            notify(maintenance, collection)
            await collection.called(1)
            while "could not be kept in shape" not in caplog.text:  # noqa: ASYNC110  logging announces nothing
                await asyncio.sleep(0)
            assert maintenance.is_running
            notify(maintenance, collection)
            await collection.called(2)

    with caplog.at_level("ERROR", "quarry.maintenance"):
        run(scenario())
    assert collection.done == 1
    assert registry.get_sample_value("quarry_index_failures_total") == 1


def test_an_end_with_nothing_to_do(registry: CollectorRegistry) -> None:
    async def scenario() -> None:
        async with Maintenance(IndexMetrics(registry), BulkHold()) as maintenance:
            assert maintenance.is_running
        assert not maintenance.is_running

    run(scenario())


def test_no_step_begins_while_bulk_work_is_held(registry: CollectorRegistry) -> None:
    collection, hold = Collection(1), BulkHold()

    async def scenario() -> None:
        hold.hold(Cause.START)
        async with Maintenance(IndexMetrics(registry), hold) as maintenance:
            notify(maintenance, collection)
            for _ in range(100):
                await asyncio.sleep(0)
            assert not collection.threads
            hold.release(Cause.START)
            await collection.called(2)

    run(scenario())
    assert collection.done == 1


def test_what_is_done_and_found_names_its_collection(
    caplog: pytest.LogCaptureFixture, registry: CollectorRegistry
) -> None:
    bees, wasps = Collection(1), Collection(1, failures=1)
    bees.kind = "checked"
    names = {id(bees): "bees", id(wasps): "wasps"}

    async def scenario() -> None:
        of = lambda collection: names[id(collection)]  # noqa: E731
        async with Maintenance(IndexMetrics(registry), BulkHold(), of) as maintenance:
            notify(maintenance, bees)
            notify(maintenance, wasps)
            await bees.called(2)
            await wasps.called(1)
            while "could not be kept in shape" not in caplog.text:  # noqa: ASYNC110  logging announces nothing
                await asyncio.sleep(0)

    with caplog.at_level("INFO", "quarry.maintenance"):
        run(scenario())
    told = {record.getMessage(): getattr(record, "collection", None) for record in caplog.records}
    assert told["index checked"] == "bees"
    assert told["an index could not be kept in shape"] == "wasps"
    assert {f"collection bees: {said} are damaged" for said in ("stored vectors", "the words")} <= told.keys()
    assert registry.get_sample_value("quarry_index_damage_total", {"collection": "bees"}) == 2
    assert registry.get_sample_value("quarry_index_damage_total", {"collection": "wasps"}) is None
