"""RememberedResults: what was found before, held to the store once more; and what is kept of a new retrieval."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from functools import partial

from indexes.base import Hit
from indexes.searched import Searched
from service.question import Retrieval
from service.results.asked import Asked
from service.results.result import Result
from service.results.store import ResultStore
from service.telemetry.results import Lookup, ResultMetrics

Known = tuple[Result, Searched]


class RememberedResults:
    """Which rows a question found, at one version of its collection, for whoever asked it.

    Texts are read from the store each time, and filters are held to each row again: whatever is remembered, and whoever
    wrote it, what a search would not show is not shown.

    Args:
        store: None remembers nothing.
        readers: threads that may read a collection.
    """

    def __init__(self, store: ResultStore | None, readers: Executor, metrics: ResultMetrics) -> None:
        self._store = store
        self._readers = readers
        self._lookups = metrics.lookups

    async def found(self, asked: Asked) -> Known | None:
        """What the question found before; None where it must be searched for.

        Raises:
            DeadlineExceededError: in stage ``search``.
            StoreUnavailableError: the collection cannot be read.
        """
        question = asked.question
        if self._store is None or not asked.is_plain:
            return None
        with question.timings.stage("cache"):
            async with question.deadline.enforced("search"):
                known = await self._known(self._store, asked)
        if isinstance(known, str):
            self._lookups.labels(known).inc()
            return None
        self._lookups.labels("hit").inc()
        question.timings.counts["cached"] = 1
        return known

    async def remember(self, asked: Asked, retrieval: Retrieval, found: Sequence[Hit]) -> None:
        """Keep what a search gave, if it was whole and of the version that was asked for.

        Args:
            found: all that the search found, of which the retrieval's hits may be some.
        """
        if self._store is None or not asked.is_plain or not _is_whole(asked, retrieval):
            return
        nearest = max((hit.scores["vector"] for hit in found), default=-1.0)
        with asked.question.timings.stage("cache"):
            await self._store.put(asked.name, Result.of(retrieval, nearest).model_dump_json().encode())

    async def _known(self, store: ResultStore, asked: Asked) -> Known | Lookup:
        data = await store.get(asked.name)
        if isinstance(data, str):
            return data
        params, collection = asked.question.params, asked.collection
        result = Result.read(data, params.top_k, collection.spec.dimension)
        if result is None:
            return "invalid"
        confirmed = partial(collection.confirmed_at, asked.version, result.rows, params)
        stored = await asyncio.get_running_loop().run_in_executor(self._readers, confirmed)
        if stored is None:
            return "stale"
        return result, Searched(result.hits(stored), asked.version, plan=None, sealed_rows=None, tail_rows=None)


def _is_whole(asked: Asked, retrieval: Retrieval) -> bool:
    """Nothing was left out, and nothing moved meanwhile."""
    searched, reordered = retrieval.searched, retrieval.reordered
    if searched.version != asked.version or searched.without_lexical is not None or any(searched.failed.values()):
        return False
    return reordered.left is None if reordered is not None else asked.reranker is None
