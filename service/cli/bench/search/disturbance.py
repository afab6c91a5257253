"""What searches suffer from an ingest or a rebuild beside them: time, and failures."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

from indexes.background import work_in_the_background
from indexes.errors import IndexesError
from service.cli.bench.percentiles import Percentiles
from service.cli.bench.search.corpus import Corpus, metadata_of
from service.cli.bench.search.latency import searchers
from service.cli.bench.search.subject import Subject

_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Beside:
    """Searches alone and beside something else.

    Attributes:
        failed: searches that raised an error or had fewer hits than were wanted, of both kinds.
        searches: beside it.
        seconds: that it went on for.
    """

    idle_ms: Percentiles
    loaded_ms: Percentiles
    p99_ratio: float
    searches: int
    failed: int
    seconds: float


@dataclass(slots=True)
class _Samples:
    seconds: list[float] = field(default_factory=list)
    failed: int = 0


class Searching:
    """One caller that searches without a pause.

    Args:
        samples: searches of a quiet period.
    """

    def __init__(self, subject: Subject, corpus: Corpus, top_k: int, samples: int) -> None:
        self._subject = subject
        self._corpus = corpus
        self._queries = corpus.vectors.queries
        self._top_k = top_k
        self._samples = samples
        self._numbers = count()

    def beside_ingest(self) -> tuple[Beside, int]:
        """Alternate between a quiet collection and one caller that puts documents; they are deleted in the end.

        Returns:
            The searches, and how many documents were put meanwhile.
        """
        idle, loaded, numbers, seconds = _Samples(), _Samples(), count(), 0.0
        with searchers(1) as thread:
            for _ in range(_ROUNDS):
                self._search(thread, idle, self._enough(self._samples // _ROUNDS))
                start = time.perf_counter()
                with _ingesting(self._subject, self._corpus, numbers):
                    self._search(thread, loaded, self._enough(self._samples // _ROUNDS))
                seconds += time.perf_counter() - start
        put = next(numbers)
        for number in range(put):
            self._subject.delete(_name(number))
        return _beside(idle, loaded, seconds), put

    def beside_rebuild(self) -> Beside:
        """A rebuild that is searched from end to end, and the quiet before and after it."""
        idle, loaded = _Samples(), _Samples()
        with searchers(1) as thread, ThreadPoolExecutor(1, initializer=work_in_the_background) as builder:
            self._search(thread, idle, self._enough(self._samples // 2))
            start = time.perf_counter()
            done = builder.submit(self._subject.rebuild)
            self._search(thread, loaded, done.done)
            done.result()
            seconds = time.perf_counter() - start
            self._search(thread, idle, self._enough(self._samples // 2))
        return _beside(idle, loaded, seconds)

    def _enough(self, samples: int) -> Callable[[], bool]:
        left = iter(range(max(1, samples)))
        return lambda: next(left, None) is None

    def _search(self, thread: ThreadPoolExecutor, into: _Samples, is_over: Callable[[], bool]) -> None:
        def run() -> None:
            while not is_over():
                query = self._queries[next(self._numbers) % len(self._queries)]
                start = time.perf_counter()
                try:
                    found = len(self._subject.search(query, self._top_k))
                except IndexesError:
                    found = 0
                into.seconds.append(time.perf_counter() - start)
                into.failed += found < self._top_k

        thread.submit(run).result()


@contextmanager
def _ingesting(subject: Subject, corpus: Corpus, numbers: "count[int]") -> Iterator[None]:
    """A caller puts documents for as long as the context is open."""
    stop = threading.Event()

    def ingest() -> None:
        while not stop.is_set():
            number = next(numbers)
            source = number % corpus.documents
            subject.put(corpus.piece_with(source, _name(number), metadata_of(source)))

    with ThreadPoolExecutor(1) as caller:
        done = caller.submit(ingest)
        try:
            yield
        finally:
            stop.set()
        done.result()


def _name(number: int) -> str:
    return f"ingested-{number:07d}"


def _beside(idle: _Samples, loaded: _Samples, seconds: float) -> Beside:
    idle_ms, loaded_ms = Percentiles.of(idle.seconds), Percentiles.of(loaded.seconds)
    failed = idle.failed + loaded.failed
    ratio = round(loaded_ms.p99 / idle_ms.p99, 2)
    return Beside(idle_ms, loaded_ms, ratio, len(loaded.seconds), failed, round(seconds, 2))
