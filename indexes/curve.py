"""The recall of an index for what a search costs, measured on its own rows.

Queries are rows that the index was not trained on, each without itself among its neighbours. Questions are texts unlike
documents and lie further from them than rows from each other, where an index finds less: noise moves the rows out
there. What the curve promises for real questions, the live recall gauge has to confirm.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.base import Mask, Metric, Positions, Scores, Vectors
from indexes.exact import ExactRows, norms_of, range_top_k, scores_at
from indexes.faiss_training import held_out
from indexes.ivf_pq import IvfPqIndex
from indexes.ranking import best

# recall@10, as the target is given
_NEIGHBOURS = 10
_REFINES = (1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32)

# One to ask with and one to find.
_FEWEST_LIVE = 2
_MOST_QUERIES = 1000
_FEWEST_QUERIES = 100
# Rows times queries: bounds the exact scan that the truth takes.
_MOST_COMPARISONS = 200_000_000

# What a step of a search costs, in bytes of an exact scan of 384 dimensions on one core (AVX-512, 16 GB/s): a byte of a
# code is a look-up in a table, a candidate passes through FAISS's heap, and its exact vector is read out of order.
_LOOKUP = 10.0
_HEAP = 3000.0
_GATHER = 1.25


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One setting of a search.

    Attributes:
        recall: share of the ten exact nearest neighbours that it finds.
        cost: as ``search_cost`` has it.
    """

    nprobe: int
    refine: int
    recall: float
    cost: float


@dataclass(frozen=True, slots=True)
class RecallCurve:
    """What was measured, and the point that searches use.

    Attributes:
        points: by ascending nprobe, then refine. Settings dearer than any that could be chosen are left out.
        chosen: the cheapest that reaches the target and its margin, or else the best there is.
        queries: rows it was measured with.
    """

    points: tuple[CurvePoint, ...]
    chosen: CurvePoint
    target: float
    queries: int

    @property
    def meets_target(self) -> bool:
        """The chosen point reaches the target and its margin."""
        return self.chosen.recall >= wanted_recall(self.target)

    @property
    def frontier(self) -> tuple[CurvePoint, ...]:
        """The points that no other beats in cost or recall without losing in the other, the cheapest first."""
        frontier: list[CurvePoint] = []
        for point in sorted(self.points, key=lambda point: (point.cost, -point.recall)):
            if not frontier or point.recall > frontier[-1].recall:
                frontier.append(point)
        return tuple(frontier)

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "RecallCurve":
        """Inverse of ``to_json``.

        Raises:
            KeyError, TypeError: a value is missing or unknown.
        """
        points = tuple(CurvePoint(**point) for point in raw["points"])
        return cls(**{**raw, "points": points, "chosen": CurvePoint(**raw["chosen"])})


def wanted_recall(target: float) -> float:
    """The target and a margin: half of what is missing to 1, one point at most."""
    return target + min(0.01, (1 - target) / 2)


def search_cost(index: IvfPqIndex, nprobe: int, refine: int) -> float:
    """Bytes of an exact scan that take as long as one search for ten hits: a model, so that choices repeat.

    With d dimensions, m bytes a code, r rows in the lists visited and c candidates:
    ``4 d nlist + 1024 d t + r (8 + 10 m) + c (3000 + 1.25 * 4 d)``, and ``4 d d`` where vectors are rotated. ``t``
    look-up tables are made: one, or for l2 one a list.
    """
    d, params = index.dimension, index.params
    visited = min(nprobe, params.nlist)
    rows = min(index.size, index.size * index.imbalance * visited / params.nlist)
    tables = visited if index.metric == "l2" else 1
    candidates = min(index.size, _NEIGHBOURS * refine)
    rotation = 4 * d * d if params.rotated else 0
    centroids = 4 * d * params.nlist + 1024 * d * tables + rotation
    return centroids + rows * (8 + _LOOKUP * params.m) + candidates * (_HEAP + _GATHER * 4 * d)


def measure_curve(
    index: IvfPqIndex, vectors: Vectors, target: float, noise: float = 0.0, live: Mask | None = None
) -> RecallCurve:
    """Sweep nprobe and refine.

    Args:
        vectors: ``(n, dimension)``: the rows of the index, by position.
        target: recall@10 wanted.
        noise: length of the noise added to the rows it asks with, relative to theirs.
        live: ``(n,)``: which of them a search may return; None is all of them.

    Raises:
        ValueError: the index holds another number of rows, or fewer than two of them are live.
    """
    if index.size != len(vectors):
        raise ValueError(f"the index holds {index.size} rows, not {len(vectors)}")
    live = np.ones(index.size, dtype=bool) if live is None else live
    if np.count_nonzero(live) < _FEWEST_LIVE:
        raise ValueError(f"the index holds {np.count_nonzero(live)} live rows; the least are {_FEWEST_LIVE}")
    questions = _Questions.held_out(ExactRows(vectors, index.metric, norms_of(vectors)), live, noise)
    points: list[CurvePoint] = []
    for nprobe in _nprobes(index.params.nlist):
        met = [point for point in points if point.recall >= wanted_recall(target)]
        if met and search_cost(index, nprobe, _REFINES[0]) >= min(point.cost for point in met):
            break
        for refine, recall in questions.recalls(index, nprobe):
            points.append(CurvePoint(nprobe, refine, recall, search_cost(index, nprobe, refine)))
    return RecallCurve(tuple(points), choose(points, target), target, len(questions.positions))


def choose(points: list[CurvePoint], target: float) -> CurvePoint:
    """The cheapest point that reaches the target and its margin; if none does, the best. Of equals the better one."""
    met = [point for point in points if point.recall >= wanted_recall(target)]
    if met:
        return min(met, key=lambda point: (point.cost, -point.recall))
    return min(points, key=lambda point: (-point.recall, point.cost))


def least_cost_with_better_codes(index: IvfPqIndex, curve: RecallCurve) -> float:
    """Cost that no rotation of ``index`` can undercut at the target.

    Codes decide how many candidates are needed, not in which lists the neighbours are: the lists that reach the target
    with the largest refine have to be visited with any codes. 0 when no number of lists reached it.
    """
    wanted = wanted_recall(curve.target)
    nprobes = [point.nprobe for point in curve.points if point.recall >= wanted]
    if not nprobes:
        return 0.0
    return search_cost(index, min(nprobes), _REFINES[0]) + 4 * index.dimension**2


def query_rows(rows: int) -> Positions:
    """Positions of the rows to ask with: those held out from training, fewer of them where there are many rows."""
    held = held_out(rows)
    wanted = max(_FEWEST_QUERIES, min(_MOST_QUERIES, _MOST_COMPARISONS // rows))
    return held[:: -(-len(held) // wanted)]


def disturbed(queries: Vectors, metric: Metric, noise: float) -> Vectors:
    """``queries`` moved in random directions, each by ``noise`` times its norm; the same at each call.

    Args:
        queries: ``(queries, dimension)``; for cosine of unit norm, as what is returned.
    """
    directions = np.random.default_rng(0).standard_normal(queries.shape, dtype=np.float32)
    directions *= (noise * norms_of(queries) / norms_of(directions))[:, None]
    moved: Vectors = queries + directions
    return moved / norms_of(moved)[:, None] if metric == "cosine" else moved


@dataclass(frozen=True, slots=True)
class _Questions:
    """Rows to ask with, and the score of the last neighbour each should find.

    Neighbours are told by their scores: of rows that are equal, any is right.
    """

    rows: ExactRows
    live: Mask
    positions: Positions
    queries: Vectors
    neighbours: int
    lowest: NDArray[np.float32]

    @classmethod
    def held_out(cls, rows: ExactRows, live: Mask, noise: float) -> "_Questions":
        positions = query_rows(len(rows.vectors))
        positions = positions[live[positions]]
        if not len(positions):
            positions = np.flatnonzero(live)[:_FEWEST_QUERIES]
        queries = disturbed(rows.vectors[positions], rows.metric, noise) if noise else rows.vectors[positions]
        neighbours = min(_NEIGHBOURS, int(np.count_nonzero(live)) - 1)
        scores, found = range_top_k(rows, queries, 0, live, neighbours + 1)
        scores, _ = best(np.where(found == positions[:, None], -np.inf, scores), found, neighbours)
        return cls(rows, live, positions, queries, neighbours, scores[:, -1])

    def recalls(self, index: IvfPqIndex, nprobe: int) -> Iterator[tuple[int, float]]:
        """(refine, recall) for each refine, from the prefixes of one list of candidates."""
        _, found = index.candidates(self.queries, _NEIGHBOURS * _REFINES[-1] + 1, nprobe)
        found = _moved_last(found, found == self.positions[:, None])
        scores = scores_at(self.rows.vectors, self.queries, found, self.rows.metric)
        right = np.cumsum(self._neighbours(scores, found), axis=1)
        for refine in _REFINES:
            last = min(_NEIGHBOURS * refine, right.shape[1]) - 1
            yield refine, float(np.minimum(right[:, last], self.neighbours).mean() / self.neighbours)

    def _neighbours(self, scores: Scores, found: Positions) -> Mask:
        right: Mask = (scores >= self.lowest[:, None]) & (found != self.positions[:, None]) & self.live[found]
        return right


def _moved_last(found: Positions, mask: Mask) -> Positions:
    """The columns of each row with the masked ones after the others, which keep their order."""
    return np.take_along_axis(found, np.argsort(mask, axis=1, kind="stable"), axis=1)


def _nprobes(nlist: int) -> list[int]:
    """Powers of two and the middles between them, as far as they are below ``nlist``, and ``nlist``."""
    steps = {step for power in range(nlist.bit_length()) for step in (2**power, 3 * 2**power // 2)}
    return [*sorted(step for step in steps if step < nlist), nlist]
