"""Ways of searching, timed in turns by the same threads."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from indexes.ivf_pq import search_on_one_thread
from service.cli.bench.percentiles import Percentiles

_ROUNDS = 3  # at least, in which the ways take turns
_TURN_SHARE = 10  # of the samples, in one turn of one thread: long enough for all threads to be at it
_SHORTEST_TURN = 10
_START_S = 60.0

# Searches with the query of a number.
Way = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Timed:
    """One way of searching at one concurrency.

    Attributes:
        per_s: searches that all threads did together in a second.
    """

    ms: Percentiles
    per_s: float


def searchers(count: int) -> ThreadPoolExecutor:
    """Threads that search as those of the server do, each on one core."""
    return ThreadPoolExecutor(count, "quarry-bench", initializer=search_on_one_thread)


def alternated(ways: Mapping[str, Way], queries: int, concurrency: int, samples: int) -> dict[str, Timed]:
    """Each way with the same queries; they take turns, so that all see the same weather on a noisy machine.

    Args:
        queries: how many there are.
        concurrency: threads that search at the same time.
        samples: searches in each way, at least.
    """
    turn = max(_SHORTEST_TURN, samples // _TURN_SHARE)
    turns = {name: _Turns(way, queries) for name, way in ways.items()}
    order = list(turns)
    with searchers(concurrency) as threads:
        for name in order:
            _Turns(ways[name], queries).take(threads, [range(_SHORTEST_TURN)] * concurrency)
        for first in range(0, max(samples, _ROUNDS * turn * concurrency), turn * concurrency):
            parts = [range(first + t * turn, first + (t + 1) * turn) for t in range(concurrency)]
            for name in order:
                turns[name].take(threads, parts)
            order = [*order[1:], order[0]]
    return {name: turns[name].timed() for name in ways}


class _Turns:
    """The turns of one way."""

    def __init__(self, way: Way, queries: int) -> None:
        self._way = way
        self._queries = queries
        self._each: list[float] = []
        self._all = 0.0

    def take(self, threads: ThreadPoolExecutor, parts: Sequence[range]) -> None:
        """Search with the numbers of each part, one part a thread."""
        together = threading.Barrier(len(parts))  # or the first would be done before the last begins

        def search(numbers: range) -> list[float]:
            together.wait(_START_S)
            return [self._seconds(number % self._queries) for number in numbers]

        start = time.perf_counter()
        self._each += [seconds for part in threads.map(search, parts) for seconds in part]
        self._all += time.perf_counter() - start

    def timed(self) -> Timed:
        return Timed(Percentiles.of(self._each), round(len(self._each) / self._all, 1))

    def _seconds(self, query: int) -> float:
        start = time.perf_counter()
        self._way(query)
        return time.perf_counter() - start
