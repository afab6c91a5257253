"""Every measurement of search, in one run over one collection."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss
from threadpoolctl import threadpool_limits

from indexes.base import Hit
from service.cli.bench.machine import processor
from service.cli.bench.search.cold_start import ColdStart, Slope, cold_start
from service.cli.bench.search.corpus import Corpus
from service.cli.bench.search.disturbance import Searching
from service.cli.bench.search.filtered import Filtered, filtered
from service.cli.bench.search.latency import Timed, Way, alternated, searchers
from service.cli.bench.search.leaks import LeakHunt
from service.cli.bench.search.recall import recall, truths
from service.cli.bench.search.subject import Subject
from service.cli.bench.search.vectors import SearchVectors
from service.cli.bench.target import Target
from service.cli.interpreter import settle_memory, share_the_interpreter

_TOP_K = 10
_CONCURRENCY = (1, 8, 32)
_EXACT_QUERIES = 100
_SMALL = 4  # the smaller collection for the slope has this part of the rows

Say = Callable[[str], None]


def run(vectors: SearchVectors, samples: int, say: Say) -> dict[str, Any]:
    """Measure everything once, in a data directory that is removed afterwards.

    Args:
        samples: searches behind each percentile.
        say: where progress goes.
    """
    share_the_interpreter()
    with tempfile.TemporaryDirectory(prefix="quarry-bench-") as folder, threadpool_limits(1, user_api="blas"):
        small = _small_start(vectors, Path(folder, "small"), say)
        return _Run(Corpus(vectors), samples, say).report(Path(folder, "data"), small)


def look_for_leaks(vectors: SearchVectors, count: int, seed: int, say: Say) -> dict[str, Any]:
    """Search with random filters; see ``leaks``."""
    corpus = Corpus(vectors)
    with tempfile.TemporaryDirectory(prefix="quarry-bench-") as folder, threadpool_limits(1, user_api="blas"):
        subject = Subject.open(Path(folder, "data"), vectors.rows.shape[1], corpus.rows)
        try:
            _filled(subject, corpus, say)
            _on_its_own_thread(subject.maintain)
            say(f"searching with {count:,} random filters, seed {seed}")
            leaks = LeakHunt(subject, corpus, seed).run(count, say)
        finally:
            subject.close()
    return {**leaks.report(), "rows": corpus.rows, "documents": corpus.documents, "seed": seed}


class _Run:
    """The measurements of one collection, in the order in which they do not disturb each other."""

    def __init__(self, corpus: Corpus, samples: int, say: Say) -> None:
        self._corpus = corpus
        self._queries = corpus.vectors.queries
        self._samples = samples
        self._say = say

    def report(self, folder: Path, small: ColdStart) -> dict[str, Any]:
        corpus = self._corpus
        subject = Subject.open(folder, corpus.vectors.rows.shape[1], corpus.rows)
        put_s = _filled(subject, corpus, self._say)
        known = list(truths(corpus.vectors.rows, self._queries, _TOP_K))
        some = self._queries[:_EXACT_QUERIES]
        exact = recall(corpus.vectors.rows, some, known[: len(some)], self._found(subject, len(some)))
        self._say("building the index")
        build_s = _on_its_own_thread(subject.maintain)
        settle_memory()
        measured = recall(corpus.vectors.rows, self._queries, known, self._found(subject, len(self._queries)))
        report = {
            **self._said_of(subject),
            "put_s": round(put_s, 2),
            "put_rows_per_s": round(corpus.rows / put_s),
            "build_s": round(build_s, 2),
            "exact_recall_at_10": exact.value,
            "recall_at_10": measured.value,
            "short": measured.short,
            **self._latencies(subject),
            **self._disturbed(subject),
        }
        self._say("starting again")
        start = cold_start(subject, corpus.rows, self._queries[0])
        report["cold_start"] = {**asdict(start), "small": asdict(small), **asdict(Slope.between(small, start))}
        report["memory_bytes"] = start.memory_bytes
        return report | {"targets": [asdict(each) | {"met": each.is_met} for each in _targets(report)]}

    def _found(self, subject: Subject, count: int) -> list[Sequence[Hit]]:
        with searchers(1) as thread:
            return list(thread.map(lambda query: subject.search(self._queries[query], _TOP_K), range(count)))

    def _latencies(self, subject: Subject) -> dict[str, Any]:
        """Ways of searching beside each other; without an index there is nothing to compare with."""
        alone, queries, question = subject.faiss_alone(), self._queries, self._corpus.question
        subject.save_words()
        ways: dict[str, Way] = {
            "vector": lambda query: subject.nearest(queries[query], _TOP_K),
            "search": lambda query: subject.search(queries[query], _TOP_K),
            "hybrid": lambda query: subject.hybrid(queries[query], _TOP_K, question(query)),
        }
        if alone is not None:
            ways["raw"] = lambda query: alone.search(queries[query], _TOP_K)
        times: dict[str, dict[str, Timed]] = {}
        for concurrency in _CONCURRENCY:
            self._say(f"timing {self._samples} searches in {len(ways)} ways, {concurrency} at a time")
            times[str(concurrency)] = alternated(ways, len(queries), concurrency, self._samples)
        one = {way: timed.ms.p50 for way, timed in times["1"].items()}
        return {
            "nprobe": alone.nprobe if alone else None,
            "refine": alone.refine if alone else None,
            "index_bytes_per_vector": round(alone.bytes_per_vector, 1) if alone else None,
            "latency_ms": {each: {way: asdict(it.ms) for way, it in ways.items()} for each, ways in times.items()},
            "searches_per_s": {each: {way: it.per_s for way, it in ways.items()} for each, ways in times.items()},
            "overhead_p50_ms": round(one["vector"] - one["raw"], 3) if alone else None,
            "search_overhead_p50_ms": round(one["search"] - one["raw"], 3) if alone else None,
            "hybrid_overhead_p50_ms": round(one["hybrid"] - one["search"], 3),
            "hybrid_p50_ratio": round(one["hybrid"] / one["search"], 3),
            "filtered": [asdict(each) for each in self._filtered(subject)],
        }

    def _filtered(self, subject: Subject) -> list[Filtered]:
        self._say("timing searches with filters")
        return filtered(subject, self._corpus, _TOP_K, self._samples)

    def _disturbed(self, subject: Subject) -> dict[str, Any]:
        searching = Searching(subject, self._corpus, _TOP_K, self._samples)
        self._say("searching beside an ingest")
        ingest, put = searching.beside_ingest()
        self._say("searching beside a rebuild")
        rebuild = searching.beside_rebuild()
        return {
            "beside_ingest": asdict(ingest) | {"documents_per_s": round(put / ingest.seconds, 1)},
            "beside_rebuild": asdict(rebuild),
        }

    def _said_of(self, subject: Subject) -> dict[str, Any]:
        vectors = self._corpus.vectors
        return {
            "bench": "search",
            "vectors": vectors.source,
            "synthetic": vectors.is_synthetic,
            "rows": self._corpus.rows,
            "dimension": vectors.rows.shape[1],
            "documents": self._corpus.documents,
            "queries": len(self._queries),
            "samples": self._samples,
            "index": dict(subject.settings()),
            "processor": processor(),
            "cores": os.cpu_count(),
            "versions": {"quarry": version("quarry"), "faiss": faiss.__version__, "numpy": version("numpy")},
        }


def _small_start(vectors: SearchVectors, folder: Path, say: Say) -> ColdStart:
    """Of a collection of fewer rows, for the slope."""
    corpus = Corpus(vectors.first(len(vectors.rows) // _SMALL))
    subject = Subject.open(folder, vectors.rows.shape[1], corpus.rows)
    _filled(subject, corpus, say)
    _on_its_own_thread(subject.maintain)
    return cold_start(subject, corpus.rows, vectors.queries[0])


def _filled(subject: Subject, corpus: Corpus, say: Say) -> float:
    """Seconds to put every document."""
    say(f"putting {corpus.documents:,} documents of {corpus.rows:,} rows")
    start = time.perf_counter()
    subject.fill(map(corpus.piece, range(corpus.documents)))
    return time.perf_counter() - start


def _on_its_own_thread(work: Callable[[], object]) -> float:
    """Seconds that ``work`` takes on a thread that may use every core, as those of the background do."""
    start = time.perf_counter()
    with ThreadPoolExecutor(1, "quarry-bench-build") as thread:
        thread.submit(work).result()
    return time.perf_counter() - start


def _targets(report: dict[str, Any]) -> list[Target]:
    """Those that were measured."""
    rebuild, start = report["beside_rebuild"], report["cold_start"]
    wanted = [
        ("recall_at_10", report["recall_at_10"], 0.99, False),
        ("index_bytes_per_vector", report["index_bytes_per_vector"], 96, True),
        ("overhead_p50_ms", report["overhead_p50_ms"], 1.0, True),
        *((f"filtered_{each['selectivity']:g}_p50_ratio", each["p50_ratio"], 2.0, True) for each in report["filtered"]),
        ("failed_beside_ingest", report["beside_ingest"]["failed"], 0, True),
        ("failed_beside_rebuild", rebuild["failed"], 0, True),
        ("p99_ratio_beside_rebuild", rebuild["p99_ratio"], 2.0, True),
        ("start_from_snapshot_s", start["snapshot_s"], 5.0, True),
    ]
    return [Target(name, value, limit, is_most) for name, value, limit, is_most in wanted if value is not None]
