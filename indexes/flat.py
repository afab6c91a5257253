"""Exact search: the growing segment's index, and the oracle every other index is tested against."""

import numpy as np

from indexes.base import Mask, Positions, Scores, SearchParams, Vectors, Visibility
from indexes.growable import GrowableArray


class FlatIndex:
    """Inner product with every row. One thread appends while others search."""

    def __init__(self, dimension: int) -> None:
        self._rows: GrowableArray[np.float32] = GrowableArray(np.float32, dimension)

    @property
    def size(self) -> int:
        """Rows appended so far."""
        return len(self._rows)

    @property
    def vectors(self) -> Vectors:
        """``(size, dimension)``."""
        return self._rows.view()

    def append(self, vectors: Vectors) -> None:
        """Add ``(n, dimension)`` rows at the next positions."""
        self._rows.append(vectors)

    def search(
        self, queries: Vectors, top_k: int, visible: Visibility, params: SearchParams
    ) -> tuple[Scores, Positions]:
        """Exact; ``params`` holds nothing that concerns it."""
        mask = visible.mask()
        return exact_top_k(self._rows.view(len(mask)), queries, mask, top_k)

    def describe(self) -> dict[str, object]:
        """Kind."""
        return {"index": "flat"}


def exact_top_k(vectors: Vectors, queries: Vectors, mask: Mask, top_k: int) -> tuple[Scores, Positions]:
    """The ``top_k`` rows of ``vectors`` with the highest inner product among those that ``mask`` lets through.

    Args:
        vectors: ``(n, dimension)``.
        queries: ``(queries, dimension)``.
        mask: ``(n,)``.

    Returns:
        ``(queries, top_k)`` scores and positions, padded with -inf and -1.
    """
    scores = queries @ vectors.T
    scores[:, ~mask] = -np.inf
    return best(scores, np.broadcast_to(np.arange(len(vectors)), scores.shape), top_k)


def best(scores: Scores, positions: Positions, top_k: int) -> tuple[Scores, Positions]:
    """The ``top_k`` highest scores of each row, best first, equal scores by position.

    Args:
        scores: ``(queries, n)``, -inf where there is no result.
        positions: ``(queries, n)``.

    Returns:
        ``(queries, top_k)`` scores and positions, padded with -inf and -1.
    """
    width = min(top_k, scores.shape[1])
    if width < scores.shape[1]:
        kept = _kept(scores, positions, width)
        scores, positions = np.take_along_axis(scores, kept, 1), np.take_along_axis(positions, kept, 1)
    order = np.lexsort((positions, -scores), axis=1)
    scores, positions = np.take_along_axis(scores, order, 1), np.take_along_axis(positions, order, 1)
    padding = ((0, 0), (0, top_k - width))
    padded = np.pad(scores, padding, constant_values=-np.inf).astype(np.float32)
    found = np.pad(positions, padding, constant_values=-1)
    return padded, np.where(np.isneginf(padded), -1, found).astype(np.int64)


def _kept(scores: Scores, positions: Positions, width: int) -> Positions:
    """``(queries, width)``: columns of the highest scores, unordered; of equal ones those with the lowest positions."""
    kept = np.argpartition(-scores, width - 1, axis=1)[:, :width]
    lowest = np.take_along_axis(scores, kept[:, -1:], 1)
    # argpartition keeps any of the scores that tie with the lowest it keeps; rows without results do not matter.
    tied = (np.count_nonzero(scores >= lowest, axis=1) > width) & np.isfinite(lowest[:, 0])
    for query in np.flatnonzero(tied):
        columns = np.flatnonzero(scores[query] >= lowest[query])
        order = np.lexsort((positions[query, columns], -scores[query, columns]))
        kept[query] = columns[order[:width]]
    return kept
