"""Fidelity: what IVF-PQ finds beside an exact search of the same rows."""

from collections.abc import Sequence

import numpy as np

from service.cli.eval.samples import Samples
from service.cli.eval.searches import Searches

OVERLAP = "overlap@10"
SHALLOW = 10


def depth_metric(top_k: int) -> str:
    """Name of the agreement of searches for ``top_k`` chunks."""
    return OVERLAP if top_k == SHALLOW else f"overlap@{top_k}"


def fidelity(exact: Searches, compressed: Searches, top_k: int) -> Samples:
    """Share of the exact search's chunks that the compressed one found too: its recall against the exact one.

    Queries that either failed at, or that found nothing exactly, are left out.
    """
    found = {each.query: each for each in compressed.found}
    pairs = [(each, found[each.query]) for each in exact.found if each.query in found and each.chunks]
    shares = [_shared(one.chunks[:top_k], other.chunks[:top_k]) for one, other in pairs]
    return Samples.of(depth_metric(top_k), [one.query for one, _ in pairs], shares)


def share_by_lists(searches: Searches) -> float | None:
    """Of the searches, those that visited lists of an index in place of every row."""
    return float(np.mean([each.is_exact is False for each in searches.found])) if searches.found else None


def _shared(exact: Sequence[str], compressed: Sequence[str]) -> float:
    return len(set(exact) & set(compressed)) / len(exact)
