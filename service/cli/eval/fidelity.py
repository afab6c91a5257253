"""Fidelity: what IVF-PQ finds beside an exact search of the same rows."""

from collections.abc import Sequence

import numpy as np

from service.cli.eval.samples import Samples
from service.cli.eval.searches import Found, Searches

OVERLAP = "overlap@10"
_OVERLAP_DEPTH = 10


def depth_metric(top_k: int) -> str:
    """Name of the recall of everything that was asked for."""
    return f"exact_recall@{top_k}"


def fidelity(exact: Searches, compressed: Searches, top_k: int) -> list[Samples]:
    """Share of the exact search's chunks that the compressed one found too: of the first ten, and of all.

    Queries that either failed at, or that found nothing exactly, are left out.
    """
    found = {each.query: each for each in compressed.found}
    pairs = [(each, found[each.query]) for each in exact.found if each.query in found and each.chunks]
    return [_agreement(OVERLAP, pairs, _OVERLAP_DEPTH), _agreement(depth_metric(top_k), pairs, top_k)]


def share_by_lists(searches: Searches) -> float | None:
    """Of the searches, those that visited lists of an index in place of every row."""
    return float(np.mean([each.is_exact is False for each in searches.found])) if searches.found else None


def _agreement(name: str, pairs: Sequence[tuple[Found, Found]], depth: int) -> Samples:
    shares = [_shared(one.chunks[:depth], other.chunks[:depth]) for one, other in pairs]
    return Samples.of(name, [one.query for one, _ in pairs], shares)


def _shared(exact: Sequence[str], compressed: Sequence[str]) -> float:
    return len(set(exact) & set(compressed)) / len(exact)
