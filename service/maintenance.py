"""Maintenance: the background task that keeps the indexes of all collections in shape."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from indexes.background import work_in_the_background
from indexes.collection import QueriedCollection
from service.bulk_hold import BulkHold
from service.telemetry.index import IndexMetrics

_log = logging.getLogger("quarry.maintenance")


class Maintenance:
    """One step at a time, on a thread of its own; an async context manager that the lifespan owns.

    Args:
        metrics: of the steps.
        hold: what each step passes before it begins.
        name_of: of a collection, for the log; empty where it has none any more.
    """

    def __init__(
        self, metrics: IndexMetrics, hold: BulkHold, name_of: Callable[[QueriedCollection], str] = lambda _: ""
    ) -> None:
        self._metrics = metrics
        self._hold = hold
        self._name_of = name_of
        self._waiting: dict[int, QueriedCollection] = {}
        self._work = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "quarry-maintenance", initializer=work_in_the_background)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="maintenance")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._thread.shutdown()

    @property
    def is_running(self) -> bool:
        """The task is alive."""
        return not self._task.done()

    def notify(self, collection: QueriedCollection) -> None:
        """Do what is due in the collection, soon."""
        if collection.upkeep is not None and collection.upkeep.is_due:
            self._waiting[id(collection)] = collection
            self._work.set()

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                _, collection = self._waiting.popitem()
                try:
                    while done := await self._step(collection):
                        self._say(done, collection)
                except Exception:  # a loop edge: whatever went wrong in one collection, the others are still to come
                    self._metrics.failures.inc()
                    # What is there stays, which may be slower and is never wrong; upkeep says when it tries again.
                    _log.exception(
                        "an index could not be kept in shape", extra={"collection": self._name_of(collection)}
                    )

    def _say(self, done: str, collection: QueriedCollection) -> None:
        name = self._name_of(collection)
        _log.info(f"index {done}", extra={"collection": name, "index_version": collection.version})
        if done == "checked":
            self.report_damage(name, collection)

    def report_damage(self, name: str, collection: QueriedCollection) -> None:
        """Log and count what of the collection was found damaged, and what is not done that is due."""
        for trouble in collection.trouble:
            self._metrics.damage.labels(name).inc()
            _log.warning("collection %s: %s", name, trouble)

    async def _step(self, collection: QueriedCollection) -> str | None:
        async with self._hold.step(math.inf):
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._timed, collection)

    def _timed(self, collection: QueriedCollection) -> str | None:
        start = time.perf_counter()
        done = collection.upkeep.step() if collection.upkeep is not None else None
        if done:
            self._metrics.seconds.labels(done).observe(time.perf_counter() - start)
        return done
