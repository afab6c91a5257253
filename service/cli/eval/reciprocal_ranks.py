"""Reciprocal ranks: the plainest way to make one list of several, as a measure for any other."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

_K = 60


def fused(rankings: Iterable[Sequence[str]]) -> list[str]:
    """By the sum of ``1 / (60 + place)`` over the rankings that have an id, places from 1; equal ones as first seen.

    G. Cormack, C. Clarke and S. Buettcher, Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    Methods (SIGIR 2009).
    """
    scores: dict[str, float] = defaultdict(float)
    for ranking in rankings:
        for place, each in enumerate(ranking, start=1):
            scores[each] += 1 / (_K + place)
    return sorted(scores, key=lambda each: -scores[each])
