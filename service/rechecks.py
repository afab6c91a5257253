"""Hits that are held to their store once more: those that are gone reach no prompt."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor

from indexes.collection import QueriedCollection
from indexes.recheck import FAULTS, Cause
from indexes.searched import Searched
from service.generation.base import Passage
from service.telemetry.metrics import Metrics

_log = logging.getLogger("quarry.rechecks")


class Rechecks:
    """Counts what the store did not confirm, and looks again before a prompt is built.

    Args:
        readers: threads that may read a store.
        on_search: called with the collection after every search of it.
    """

    def __init__(self, metrics: Metrics, readers: Executor, on_search: Callable[[QueriedCollection], None]) -> None:
        self._failed = metrics.rechecks_failed
        self._without_lexical = metrics.searches_without_lexical
        self._readers = readers
        self._on_search = on_search

    def searched(self, collection: QueriedCollection, searched: Searched) -> None:
        """Note what a search left out. That an index claimed it is a fault; that it was just deleted is none."""
        self._note(collection, searched.failed)
        if searched.without_lexical is not None:
            self._without_lexical.labels(searched.without_lexical).inc()
        self._on_search(collection)

    async def present(self, collection: QueriedCollection, passages: Sequence[Passage]) -> list[Passage]:
        """The passages whose chunks no commit has removed; with the numbers that they have.

        Raises:
            StoreUnavailableError: nobody can tell.
        """
        rows = [passage.hit.row for passage in passages]
        if collection.is_behind:
            living = await asyncio.get_running_loop().run_in_executor(self._readers, collection.living, rows)
        else:
            living = collection.living(rows)
        present = [passage for passage in passages if passage.hit.row in living]
        self._note(collection, {"deleted": len(passages) - len(present)})
        return present

    def _note(self, collection: QueriedCollection, failed: Mapping[Cause, int]) -> None:
        for cause, count in failed.items():
            if count:
                self._failed.labels(cause).inc(count)
        faults = {cause: count for cause, count in failed.items() if count and cause in FAULTS}
        if faults:
            said = ", ".join(f"{count} {cause}" for cause, count in faults.items())
            _log.error("the index of collection %s gave rows that its store refuses: %s", collection.identity, said)
