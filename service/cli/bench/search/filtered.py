"""Searches with filters that keep half, a twentieth and a thousandth of the documents, beside searches without."""

from collections.abc import Sequence
from dataclasses import dataclass

from indexes.base import Hit
from indexes.filters import parse_filter
from service.cli.bench.percentiles import Percentiles
from service.cli.bench.search.corpus import SHARES, Corpus, Share
from service.cli.bench.search.latency import alternated, searchers
from service.cli.bench.search.recall import recall, truths
from service.cli.bench.search.subject import Subject

_QUERIES = 200  # whose recall is measured


@dataclass(frozen=True, slots=True)
class Filtered:
    """Searches with one kind of filter.

    Attributes:
        selectivity: share of the documents that it keeps.
        p50_ratio: to searches without a filter, of the same run.
        short: queries with fewer hits than there are rows to find, of those whose recall was measured.
    """

    selectivity: float
    ms: Percentiles
    p50_ratio: float
    recall_at_10: float
    short: int


def filtered(subject: Subject, corpus: Corpus, top_k: int, samples: int) -> list[Filtered]:
    """One after another caller with another value of the filter, at concurrency 1."""
    queries = corpus.vectors.queries
    ways = {share.key: _Way(subject, corpus, share, top_k) for share in SHARES}
    times = alternated(
        {"unfiltered": lambda query: subject.search(queries[query], top_k), **ways}, len(queries), 1, samples
    )
    return [_result(way, times[key].ms, times["unfiltered"].ms) for key, way in ways.items()]


class _Way:
    """Searches with a filter of one selectivity."""

    def __init__(self, subject: Subject, corpus: Corpus, share: Share, top_k: int) -> None:
        self.subject = subject
        self.corpus = corpus
        self.share = share
        self.top_k = top_k
        values = range(corpus.value(share, -1) + 1)
        self._filters = [parse_filter(share.filter(value)) for value in values]

    def __call__(self, query: int) -> Sequence[Hit]:
        parsed = self._filters[self.corpus.value(self.share, query)]
        return self.subject.search(self.corpus.vectors.queries[query], self.top_k, parsed)


def _result(way: _Way, ms: Percentiles, unfiltered: Percentiles) -> Filtered:
    corpus, share = way.corpus, way.share
    queries = corpus.vectors.queries[:_QUERIES]
    known = list(
        truths(corpus.vectors.rows, queries, way.top_k, lambda query: corpus.kept(share, corpus.value(share, query)))
    )
    with searchers(1) as thread:
        found = list(thread.map(way, range(len(queries))))
    measured = recall(corpus.vectors.rows, queries, known, found)
    return Filtered(share.selectivity, ms, round(ms.p50 / unfiltered.p50, 2), measured.value, measured.short)
