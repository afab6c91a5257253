"""Ranking: the best of scored rows."""

import numpy as np

from indexes.base import Positions, Scores


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
