"""Does this FAISS, on this device, give the answers that NumPy gives? Asked at start, before anything relies on it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from indexes.base import Metric, Positions, Scores, Vectors
from indexes.errors import SelfTestError
from indexes.exact import scores_at
from indexes.ivf_pq import IvfPqIndex, IvfPqParams

_ROWS, _DIMENSION, _QUERIES = 512, 16, 8
_NLIST, _M = 8, 2
_COUNT, _NPROBE = 20, 2


class Candidates(Protocol):
    """Something that searches an index: the index itself, or its copy on a device."""

    def candidates(self, queries: Vectors, count: int, nprobe: int) -> tuple[Scores, Positions]:
        """As ``IvfPqIndex.candidates``."""


def self_test(place: Callable[[IvfPqIndex], Candidates] | None = None, tolerance: float = 1e-4) -> None:
    """Search tiny indexes of every metric and compare with NumPy.

    Args:
        place: puts an index on a device; None searches it on the CPU.
        tolerance: largest error of a score; half-precision look-up tables need more.

    Raises:
        SelfTestError: an answer differs; names the metric and the error.
    """
    rows, queries = _made_up()
    for metric in get_args(Metric):
        index = IvfPqIndex.train(rows, metric, IvfPqParams(_NLIST, _M, _NPROBE))
        check_candidates(index, rows, queries, place(index) if place else index, tolerance)
        _check_exact(rows, queries, metric, tolerance)


def check_candidates(
    index: IvfPqIndex, rows: Vectors, queries: Vectors, searched: Candidates, tolerance: float
) -> None:
    """Compare the candidates of ``searched`` with those of NumPy by the trained quantizers of ``index``.

    Args:
        index: not rotated.
        rows: ``(n, dimension)``: its rows by position.

    Raises:
        SelfTestError: they differ.
    """
    twin = _Twin.of(index, rows)
    for count, nprobe in ((index.size, index.params.nlist), (_COUNT, _NPROBE)):
        scores, positions = searched.candidates(queries, count, nprobe)
        expected = twin.scores(queries, nprobe)
        best = np.sort(expected, axis=1)[:, ::-1][:, :count]
        _compare(f"{index.metric}: the scores of {count} candidates in {nprobe} lists", scores, best, tolerance)
        at = np.where(positions >= 0, np.take_along_axis(expected, np.maximum(positions, 0), axis=1), -np.inf)
        _compare(f"{index.metric}: the positions of {count} candidates in {nprobe} lists", scores, at, tolerance)


def check_scan(scan: Callable[[Vectors, Vectors, Metric, int], tuple[Scores, Positions]], tolerance: float) -> None:
    """Compare exact scans on a device, of rows for queries by a metric, with NumPy.

    Args:
        scan: ``(rows, queries, metric, top_k)`` to ``(queries, top_k)`` scores and positions, best first.
        tolerance: largest error of a score.

    Raises:
        SelfTestError: they differ.
    """
    rows, queries = _made_up()
    for metric in get_args(Metric):
        expected = _scores(queries, rows, metric).astype(np.float32)
        scores, positions = scan(rows, queries, metric, _COUNT)
        best = np.sort(expected, axis=1)[:, ::-1][:, :_COUNT]
        _compare(f"{metric}: the scores of a scan", scores, best, tolerance)
        at = np.take_along_axis(expected, np.maximum(positions, 0), axis=1)
        _compare(f"{metric}: the positions of a scan", scores, at, tolerance)


@dataclass(frozen=True, slots=True)
class _Twin:
    """IVF-PQ in NumPy.

    Attributes:
        lists: ``(n,)``: list of each row.
        decoded: ``(n, dimension)``: what its code stands for.
    """

    metric: Metric
    centroids: Vectors
    lists: Positions
    decoded: Vectors

    @classmethod
    def of(cls, index: IvfPqIndex, rows: Vectors) -> "_Twin":
        centroids, codebooks = index.quantizers()
        lists = _scores(rows, centroids, index.metric).argmax(axis=1)
        residuals = (rows - centroids[lists]).reshape(len(rows), len(codebooks), -1)
        parts = [book[_scores(residuals[:, part], book, "l2").argmax(axis=1)] for part, book in enumerate(codebooks)]
        return cls(index.metric, centroids, lists, centroids[lists] + np.concatenate(parts, axis=1))

    def scores(self, queries: Vectors, nprobe: int) -> Scores:
        """``(queries, n)``; -inf for rows in lists that are not visited."""
        ranks = np.argsort(-_scores(queries, self.centroids, self.metric), axis=1).argsort(axis=1)
        visited = ranks[:, self.lists] < nprobe
        return np.where(visited, _scores(queries, self.decoded, self.metric), -np.inf).astype(np.float32)


def _made_up() -> tuple[Vectors, Vectors]:
    """Unit vectors, and some of them as queries."""
    rows = np.random.default_rng(0).standard_normal((_ROWS, _DIMENSION), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, rows[:: _ROWS // _QUERIES]


def _scores(queries: Vectors, rows: Vectors, metric: Metric) -> NDArray[np.float64]:
    """In double precision, the straightforward way."""
    asked, held = queries.astype(np.float64), rows.astype(np.float64)
    if metric == "l2":
        squares: NDArray[np.float64] = np.square(asked[:, None] - held[None]).sum(axis=2)
        return -squares
    return asked @ held.T


def _check_exact(rows: Vectors, queries: Vectors, metric: Metric, tolerance: float) -> None:
    positions = np.broadcast_to(np.arange(len(rows)), (len(queries), len(rows)))
    scores = scores_at(rows, queries, positions, metric)
    _compare(f"{metric}: exact scores", scores, _scores(queries, rows, metric).astype(np.float32), tolerance)


def _compare(what: str, found: Scores, expected: Scores, tolerance: float) -> None:
    """Raises SelfTestError where the two differ by more than the tolerance."""
    if found.shape != expected.shape or not np.array_equal(np.isneginf(found), np.isneginf(expected)):
        raise SelfTestError(f"{what} have the wrong shape or number")
    present = np.isfinite(expected)
    worst = float(np.abs(found[present] - expected[present]).max(initial=0.0))
    if not worst <= tolerance:
        raise SelfTestError(f"{what} are off by {worst:.3g}, more than {tolerance:g}")
