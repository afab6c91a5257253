"""Recall against an exact scan by NumPy."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from indexes.base import Hit, Mask, Vectors
from service.cli.bench.search.corpus import row_of

_BLOCK = 64
# Scores of one pair by two ways of adding up differ by this much.
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True)
class Truth:
    """What the best results of one query are.

    Attributes:
        lowest: score of the last of them.
        wanted: how many there are, ``top_k`` unless fewer rows are kept.
        kept: ``(rows,)`` rows that may be found; None for all.
    """

    lowest: float
    wanted: int
    kept: Mask | None

    def found(self, query: Vectors, rows: Vectors, hits: Sequence[Hit]) -> int:
        """How many of ``hits`` belong to the best; rows of equal score stand in for each other."""
        numbers = np.array(sorted({row_of(hit.chunk) for hit in hits}), dtype=np.int64)
        if self.kept is not None:
            numbers = numbers[self.kept[numbers]]
        return min(self.wanted, int(np.count_nonzero(rows[numbers] @ query >= self.lowest - _ROUNDING)))


@dataclass(frozen=True, slots=True)
class Recall:
    """Of some queries.

    Attributes:
        value: share of the best rows that were found.
        short: queries with fewer hits than there are rows to find.
    """

    value: float
    short: int


def truths(rows: Vectors, queries: Vectors, top_k: int, kept: Callable[[int], Mask] | None = None) -> Iterator[Truth]:
    """The truth of each query.

    Args:
        rows: ``(n, dimension)``.
        queries: ``(queries, dimension)``.
        kept: gives, by the query's number, the rows that may be found.
    """
    for first in range(0, len(queries), _BLOCK):
        for query, scores in enumerate(queries[first : first + _BLOCK] @ rows.T, start=first):
            mask = None if kept is None else kept(query)
            allowed = scores if mask is None else scores[mask]
            wanted = min(top_k, len(allowed))
            lowest = float(np.partition(allowed, -wanted)[-wanted]) if wanted else np.inf
            yield Truth(lowest, wanted, mask)


def recall(rows: Vectors, queries: Vectors, known: Sequence[Truth], found: Sequence[Sequence[Hit]]) -> Recall:
    """Of ``found``, the hits of each query."""
    each = zip(known, queries, found, strict=True)
    right = sum(truth.found(query, rows, hits) for truth, query, hits in each)
    short = sum(len(hits) < truth.wanted for truth, hits in zip(known, found, strict=True))
    return Recall(round(right / max(1, sum(truth.wanted for truth in known)), 5), short)
