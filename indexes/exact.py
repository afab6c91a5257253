"""Exact scores by any metric: of a few rows by position without copying them, or of a range of rows by blocks."""

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.base import Mask, Metric, Positions, Scores, Vectors
from indexes.ranking import best

Norms = NDArray[np.float32]

# Scores held at once: 16 MiB of them, however many rows there are.
_BLOCK_SCORES = 4_194_304
# Rows kept beyond those wanted: a matrix product and the scores by position round differently.
_SPARE = 16
# Missing in FAISS's stubs.
_INNER_PRODUCT = faiss.fvec_inner_products_by_idx  # type: ignore[attr-defined]
_L2 = faiss.fvec_L2sqr_by_idx  # type: ignore[attr-defined]
_L2_TO_ALL = faiss.fvec_L2sqr_ny  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class ExactRows:
    """Rows and how they are compared.

    Attributes:
        vectors: ``(n, dimension)``, C-contiguous float32; of unit norm for cosine.
        norms: ``(n,)``: their Euclidean norms, for ``range_top_k`` by l2 with many queries; see ``exact_scores``.
    """

    vectors: Vectors
    metric: Metric
    norms: Norms | None = None


def norms_of(vectors: Vectors) -> Norms:
    """``(n,)``: Euclidean norms of ``(n, dimension)`` vectors."""
    norms: Norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors)).astype(np.float32)
    return norms


def exact_scores(vectors: Vectors, norms: Norms | None, queries: Vectors, metric: Metric) -> Scores:
    """Scores of every row.

    Args:
        vectors: ``(n, dimension)``, C-contiguous float32; of unit norm for cosine, as the queries are.
        norms: ``(n,)``: of the vectors. l2 alone uses them: with them it is one matrix product, three times as fast for
            many queries, whose rounding is that of the squared norms; without them each distance is rounded for itself.
        queries: ``(queries, dimension)``.

    Returns:
        ``(queries, n)``: inner products, or squared distances negated.
    """
    if metric == "l2" and norms is None:
        return _distances(vectors, queries)
    scores: Scores = queries @ vectors.T
    if norms is not None and metric == "l2":
        scores *= 2
        scores -= np.square(norms)
        scores -= np.square(norms_of(queries))[:, None]
        np.minimum(scores, 0, out=scores)
    return scores


def _distances(vectors: Vectors, queries: Vectors) -> Scores:
    scores = np.empty((len(queries), len(vectors)), dtype=np.float32)
    if scores.size:
        _check(vectors, queries, np.zeros((len(queries), 1), dtype=np.int64))
        rows = faiss.swig_ptr(vectors)
        for query, row in zip(np.ascontiguousarray(queries, dtype=np.float32), scores, strict=True):
            _L2_TO_ALL(faiss.swig_ptr(row), faiss.swig_ptr(query), rows, vectors.shape[1], len(vectors))
    return np.negative(scores, out=scores)


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
    by_position = _L2 if metric == "l2" else _INNER_PRODUCT
    by_position(
        faiss.swig_ptr(scores),
        faiss.swig_ptr(asked),
        faiss.swig_ptr(vectors),
        faiss.swig_ptr(ids),
        vectors.shape[1],
        1 if asked.ndim == 1 else len(asked),
        positions.shape[-1],
    )
    return np.negative(scores, out=scores) if metric == "l2" else scores


def lengths_at(vectors: Vectors, query: Vectors, positions: Positions) -> Scores:
    """``(k,)``: the norm of each row at ``positions``, times that of the ``(dimension,)`` query."""
    lengths: Scores = np.linalg.norm(vectors[positions], axis=1) * np.linalg.norm(query)
    return lengths


def cosines_at(vectors: Vectors, query: Vectors, positions: Positions) -> Scores:
    """``(k,)``: cosines between the ``(dimension,)`` query and the rows at ``positions``."""
    lengths: Scores = np.maximum(lengths_at(vectors, query, positions), np.finfo(np.float32).tiny)
    cosines: Scores = (vectors[positions] @ query) / lengths
    return cosines


def per_cosine_at(vectors: Vectors, query: Vectors, positions: Positions, metric: Metric) -> Scores:
    """``(k,)``: what a cosine higher by one adds to the score of each row at the same lengths.

    The inner product of lengths r and q is r q cos, the negative squared distance 2 r q cos - r r - q q.
    """
    if metric == "cosine":
        return np.ones(len(positions), dtype=np.float32)
    lengths = lengths_at(vectors, query, positions)
    return 2 * lengths if metric == "l2" else lengths


def range_top_k(rows: ExactRows, queries: Vectors, start: int, mask: Mask, top_k: int) -> tuple[Scores, Positions]:
    """The best rows of a contiguous range among those that ``mask`` lets through, equal scores by position.

    Args:
        queries: ``(queries, dimension)``.
        start: first position of the range.
        mask: ``(length of the range,)``.

    Returns:
        ``(queries, top_k)`` scores, those of ``scores_at``, and positions in ``rows``, padded with -inf and -1.
    """
    found = _no_results(len(queries), top_k + _SPARE)
    step = max(1, _BLOCK_SCORES // max(1, len(queries)))
    for first in range(0, len(mask), step):
        part = mask[first : first + step]
        if part.any():
            block = _block_top_k(rows, queries, start + first, part, top_k + _SPARE)
            scores = np.concatenate((found[0], block[0]), axis=1)
            found = best(scores, np.concatenate((found[1], block[1]), axis=1), top_k + _SPARE)
    return best(scores_at(rows.vectors, queries, found[1], rows.metric), found[1], top_k)


def _block_top_k(rows: ExactRows, queries: Vectors, start: int, mask: Mask, top_k: int) -> tuple[Scores, Positions]:
    """``range_top_k`` by ``exact_scores`` alone."""
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
