"""Exact scores by any metric: of a few rows by position without copying them, or of a range of rows by blocks."""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.base import Mask, Metric, Positions, Scores, Vectors
from indexes.flat import best

Norms = NDArray[np.float32]

# Scores held at once: 16 MiB of them, however many rows there are.
_BLOCK_SCORES = 4_194_304
# Rows kept beyond those wanted: the matrix product and the row by row scores round differently.
_SPARE = 16


@dataclass(frozen=True, slots=True)
class ExactRows:
    """Rows and what it takes to score them.

    Attributes:
        vectors: ``(n, dimension)``, C-contiguous float32; of unit norm for cosine.
        norms: ``(n,)``: their Euclidean norms; needed for l2 only.
    """

    vectors: Vectors
    metric: Metric
    norms: Norms | None = None

    @classmethod
    def of(cls, vectors: Vectors, metric: Metric) -> "ExactRows":
        """With the norms computed where the metric needs them."""
        return cls(vectors, metric, norms_of(vectors) if metric == "l2" else None)


def norms_of(vectors: Vectors) -> Norms:
    """``(n,)``: Euclidean norms of ``(n, dimension)`` vectors."""
    norms: Norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors)).astype(np.float32)
    return norms


def exact_scores(vectors: Vectors, norms: Norms | None, queries: Vectors, metric: Metric) -> Scores:
    """Scores of every row by one matrix product.

    For l2 the rounding is that of the squared norms, not that of the distance: rank by it, then score by ``scores_at``.

    Args:
        vectors: ``(n, dimension)``; of unit norm for cosine, as the queries are.
        norms: ``(n,)``; None computes them. l2 alone uses them.
        queries: ``(queries, dimension)``.

    Returns:
        ``(queries, n)``: inner products, or squared distances negated.
    """
    scores: Scores = queries @ vectors.T
    if metric == "l2":
        scores *= 2
        scores -= np.square(norms_of(vectors) if norms is None else norms)
        scores -= np.square(norms_of(queries))[:, None]
        np.minimum(scores, 0, out=scores)
    return scores


def scores_at(vectors: Vectors, queries: Vectors, positions: Positions, metric: Metric) -> Scores:
    """Scores of the rows at ``positions``, read where they lie: gathering them first takes several times as long.

    Args:
        vectors: ``(n, dimension)``, C-contiguous float32.
        queries: ``(dimension,)`` or ``(queries, dimension)``.
        positions: ``(k,)`` or ``(queries, k)``; -1 is no row.

    Returns:
        The shape of ``positions``; -inf where there is no row.

    Raises:
        IndexError: a position is not below n.
        ValueError: the vectors are not C-contiguous float32, or the queries have another dimension.
    """
    scores = np.empty(positions.shape, dtype=np.float32)
    if not positions.size:
        return scores
    _check(vectors, queries, positions)
    asked = np.ascontiguousarray(queries, dtype=np.float32)
    ids = np.ascontiguousarray(positions, dtype=np.int64)
    score = faiss.fvec_L2sqr_by_idx if metric == "l2" else faiss.fvec_inner_products_by_idx
    score(
        faiss.swig_ptr(scores),
        faiss.swig_ptr(asked),
        faiss.swig_ptr(vectors),
        faiss.swig_ptr(ids),
        vectors.shape[1],
        1 if asked.ndim == 1 else len(asked),
        positions.shape[-1],
    )
    return np.negative(scores, out=scores) if metric == "l2" else scores


def range_top_k(rows: ExactRows, queries: Vectors, start: int, mask: Mask, top_k: int) -> tuple[Scores, Positions]:
    """The best rows of a contiguous range among those that ``mask`` lets through, equal scores by position.

    Args:
        queries: ``(queries, dimension)``.
        start: first position of the range.
        mask: ``(length of the range,)``.

    Returns:
        ``(queries, top_k)`` scores, the same as ``scores_at`` gives, and positions in ``rows``; padded with -inf and -1.
    """
    found = _no_results(len(queries), top_k + _SPARE)
    step = max(1, _BLOCK_SCORES // max(1, len(queries)))
    for first in range(0, len(mask), step):
        part = mask[first : first + step]
        if part.any():
            block = _block_top_k(rows, queries, start + first, part, top_k + _SPARE)
            scores, positions = (np.concatenate(pair, axis=1) for pair in zip(found, block, strict=True))
            found = best(scores, positions, top_k + _SPARE)
    return best(scores_at(rows.vectors, queries, found[1], rows.metric), found[1], top_k)


def _block_top_k(rows: ExactRows, queries: Vectors, start: int, mask: Mask, top_k: int) -> tuple[Scores, Positions]:
    """``range_top_k`` by the matrix product alone."""
    stop = start + len(mask)
    norms = None if rows.norms is None else rows.norms[start:stop]
    scores = exact_scores(rows.vectors[start:stop], norms, queries, rows.metric)
    if not mask.all():
        scores[:, ~mask] = -np.inf
    return best(scores, np.broadcast_to(np.arange(start, stop), scores.shape), top_k)


def _no_results(queries: int, top_k: int) -> tuple[Scores, Positions]:
    return np.full((queries, top_k), -np.inf, dtype=np.float32), np.full((queries, top_k), -1, dtype=np.int64)


def _check(vectors: Vectors, queries: Vectors, positions: Positions) -> None:
    """FAISS is handed bare pointers: what it would read beyond their ends is refused here."""
    if vectors.dtype != np.float32 or not vectors.flags.c_contiguous:
        raise ValueError(f"vectors must be C-contiguous float32, not {vectors.dtype} with strides {vectors.strides}")
    if queries.shape != (*positions.shape[:-1], vectors.shape[1]):
        raise ValueError(f"queries {queries.shape} do not fit positions {positions.shape} of {vectors.shape} vectors")
    highest = int(positions.max())
    if highest >= len(vectors):
        raise IndexError(f"position {highest} is not below the {len(vectors)} rows")
