"""Operator: long work on one collection that somebody asked for, off the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self, TypeVar

from indexes.background import work_in_the_background
from indexes.collection import Collection
from indexes.curve import RecallCurve
from indexes.errors import CollectionConflictError, NothingSealedError
from indexes.filters import Filter
from indexes.verification import Verification
from service.bulk_hold import BulkHold
from service.ingest.purger import Purged, Purger
from service.library import Library
from service.telemetry.metrics import Metrics

T = TypeVar("T")

_THREADS = 2


class Operator:
    """At most one job for a collection at a time; a context manager that owns its threads.

    A job whose caller has left is finished all the same. What maintenance does in the meantime is waited for, so a job
    never builds an index beside another one of the same collection.

    Args:
        on_change: called with a collection after a job on it.
        hold: what a job passes before it begins.
    """

    def __init__(
        self,
        library: Library,
        purger: Purger,
        metrics: Metrics,
        on_change: Callable[[Collection], None],
        hold: BulkHold,
    ) -> None:
        self._library = library
        self._purger = purger
        self._metrics = metrics
        self._on_change = on_change
        self._hold = hold
        self._busy: dict[str, str] = {}  # collection -> what is being done
        self._threads = ThreadPoolExecutor(_THREADS, "quarry-operator", initializer=work_in_the_background)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def rebuild(self, name: str) -> None:
        """Build the index anew from the store, and save it.

        Raises:
            CollectionNotFoundError: there is none of that name.
            CollectionConflictError: another job goes on.
            OverloadedError: bulk work is held for too long.
            InsufficientMemoryError, SnapshotError, StoreUnavailableError: the index in memory serves on.
        """
        collection = self._library.find(name)
        await self._alone(name, "rebuilt", collection.rebuild)
        self._on_change(collection)

    async def calibrate(self, name: str) -> RecallCurve:
        """Measure the curve of the present index again and take what it chooses.

        Raises:
            CollectionNotFoundError, CollectionConflictError, OverloadedError: as ``rebuild``.
            NothingSealedError: there is no index to measure.
            SnapshotError: the choice is not saved.
        """
        try:
            return await self._alone(name, "calibrated", self._library.find(name).upkeep.calibrate)
        except NothingSealedError as error:  # an index does not know what it is called
            raise error.of(name) from error

    async def verify(self, name: str) -> Verification:
        """Compare files and memory with the store.

        Raises:
            CollectionNotFoundError, CollectionConflictError, OverloadedError: as ``rebuild``.
        """
        return await self._alone(name, "verified", self._library.find(name).verify)

    async def purge(self, name: str, ids: Sequence[str], filter: Filter | None) -> Purged:
        """See ``Purger.purge``.

        Raises:
            CollectionConflictError, OverloadedError: as ``rebuild``.
        """
        purged = await self._alone(name, "purged", lambda: self._purger.purge(name, ids, filter))
        self._metrics.documents.labels("deleted").inc(purged.deleted)
        return purged

    async def _alone(self, name: str, participle: str, job: Callable[[], T]) -> T:
        await self._hold.enter()
        try:
            future = self._begun(self._library.route(name).name, participle, job)
        except BaseException:
            self._hold.leave()
            raise
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._hold.leave))
        return await asyncio.wrap_future(future)

    def _begun(self, name: str, participle: str, job: Callable[[], T]) -> Future[T]:
        """The job, under the name that is no alias."""
        if name in self._busy:
            raise CollectionConflictError(f"collection {name!r} is being {self._busy[name]}: wait for the end of that")
        self._busy[name] = participle
        future = self._threads.submit(job)
        future.add_done_callback(lambda _: self._busy.pop(name))
        return future
