"""The nearest visible rows of a view: IVF-PQ candidates rescored exactly, and the tail scanned exactly.

FAISS never hears of deletes or filters: GPU indexes ignore its IDSelector without a word, so candidates are
over-fetched and masked here, in one place for every backend. A search makes two index calls at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from indexes.base import Positions, RowIds, Scores, SearchParams, Vectors
from indexes.exact import cosines_at, per_cosine_at, range_top_k, scores_at
from indexes.generation import NO_ROWS
from indexes.plan import Plan, plan
from indexes.ranking import best
from indexes.view import Sealed, View

NO_SCORES: Scores = np.empty(0, dtype=np.float32)
SHOWN_DROPPED = 100
# Rows taken from a device's scan beyond four for each hit: it may keep its vectors in half precision.
_SCAN_SPARE = 64

Reason = Literal["threshold", "outranked"]


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate that the search may return, and that is no hit.

    Attributes:
        score: its exact score.
        reason: its cosine is below the ``threshold``, or it is ``outranked`` by others.
    """

    row: int
    score: float
    reason: Reason


@dataclass(frozen=True, slots=True)
class Omissions:
    """The candidates of the sealed rows that are no hits.

    What the search may not return is counted and never named: whoever asks may not know what a filter hides, and of
    a row that is deleted nobody can tell any more whether its document passed. Under a ``required`` filter there is
    nothing to tell: see ``SearchParams.explains_candidates``.

    Attributes:
        dropped: the best of those it might have returned.
        deleted: before the version of the search.
        filtered: of documents that fail the filter.
    """

    dropped: Sequence[Dropped] = ()
    deleted: int = 0
    filtered: int = 0


NO_OMISSIONS = Omissions()


@dataclass(frozen=True, slots=True)
class Found:
    """The nearest rows, best first.

    Attributes:
        rows: ``(n,)`` the store's ids.
        scores: ``(n,)`` by the collection's metric.
        cosines: ``(n,)``.
        per_cosine: ``(n,)`` what a cosine higher by one adds to the score at the same lengths of row and query.
        plan: how the sealed rows were searched; None where there are none.
        sealed_rows: rows that IVF-PQ covers.
        tail_rows: rows that were searched exactly.
        omissions: candidates that are no hits, if the search asked to be explained.
        weights: ``(n,)`` boost that each score has in it, as a cosine; empty without boosts.
        lexical: ``(n,)`` BM25 of the words that were looked for; empty where none were.
    """

    rows: RowIds
    scores: Scores
    cosines: Scores
    per_cosine: Scores
    plan: Plan | None
    sealed_rows: int
    tail_rows: int
    omissions: Omissions = NO_OMISSIONS
    weights: Scores = field(default_factory=NO_SCORES.copy)
    lexical: Scores = field(default_factory=NO_SCORES.copy)


def nearest(view: View, version: int, query: Vectors, params: SearchParams) -> Found:
    """The ``top_k`` best rows for a ``(dimension,)`` query that are visible at ``version``; without the boosts."""
    search = _Search(view, version, query, params)
    return search.found()


def nearest_exactly(view: View, version: int, query: Vectors, params: SearchParams) -> RowIds:
    """The same by a scan of every row, on the device where there is one: the truth that recall is measured against."""
    search = _Search(view, version, query, params)
    positions, scores = search.scanned(0, search.size)
    return view.rows.ids(search.size)[search.best(positions, scores)[0]]


class _Search:
    """One query on one view."""

    def __init__(self, view: View, version: int, query: Vectors, params: SearchParams) -> None:
        self._view = view
        self._query = query
        self._params = params
        self._visible = view.visible(version, params.admitted)
        self._kept = self._visible.kept
        self.size = self._visible.size
        self._rows = view.rows.exact(self.size)

    def found(self) -> Found:
        view = self._view
        positions, scores = self.scanned(view.sealed_rows, self.size)
        candidates, exact, used = self._candidates()
        seen = self._visible.at(candidates)
        positions, scores = np.append(candidates[seen], positions), np.append(exact[seen], scores)
        positions, scores = self.best(positions, scores)
        cosines = self._cosines(positions, scores)
        if self._params.score_threshold is not None:
            near = cosines >= self._params.score_threshold
            positions, scores, cosines = positions[near], scores[near], cosines[near]
        omissions = self._omissions(candidates, exact, positions) if self._params.explains_candidates else NO_OMISSIONS
        return Found(
            rows=view.rows.ids(self.size)[positions],
            scores=scores,
            cosines=cosines,
            per_cosine=self._per_cosine(positions),
            plan=used,
            sealed_rows=view.sealed_rows,
            tail_rows=self.size - view.sealed_rows,
            omissions=omissions,
        )

    def best(self, positions: Positions, scores: Scores) -> tuple[Positions, Scores]:
        """The ``top_k`` highest, best first, equal scores by position."""
        found, kept = best(scores[None], positions[None], self._params.top_k)
        present = kept[0] >= 0
        return kept[0][present], found[0][present]

    def scanned(self, start: int, stop: int) -> tuple[Positions, Scores]:
        """The best visible rows of a run of positions, in no order."""
        mask = self._visible.mask(start, stop)
        visible = int(np.count_nonzero(mask))
        on_device = self._view.sealed and self._view.sealed.on_device
        if on_device and visible:
            wanted = _SCAN_SPARE + 4 * self._params.top_k
            near = on_device.scan(self._view.rows.vectors(self.size), self._query, start, mask, wanted)
            if near is not None:
                return near, self._scores_at(near)
        if 2 * visible < len(mask):
            positions = np.flatnonzero(mask) + start
            return positions, self._scores_at(positions)
        if not visible:
            return NO_ROWS, NO_SCORES
        scores, found = range_top_k(self._rows, self._query[None], start, mask, min(self._params.top_k, visible))
        return found[0], scores[0]

    def _candidates(self) -> tuple[Positions, Scores, Plan | None]:
        """Rows of the sealed part with their exact scores, whether they are visible or not."""
        sealed = self._view.sealed
        if sealed is None:
            return NO_ROWS, NO_SCORES, None
        used = plan(sealed, self._params, self._selectivity(sealed))
        if used.way == "lists":
            searched = sealed.on_device or sealed.index
            _, found = searched.candidates(self._query[None], used.candidates, used.nprobe)
            positions = found[0][found[0] >= 0]
            visible = int(np.count_nonzero(self._visible.at(positions)))
            wanted = self._params.top_k
            # As many results as there are: where too few candidates are visible, nothing but a scan can tell.
            if visible >= wanted or visible == np.count_nonzero(self._visible.mask(0, sealed.index.size)):
                return positions, self._scores_at(positions), used
            used = used.as_scan()
        positions, scores = self.scanned(0, sealed.index.size)
        return positions, scores, used

    def _selectivity(self, sealed: Sealed) -> float:
        """Share of the sealed rows that are visible, as far as it is known without looking at each."""
        rows = self._view.rows
        live = rows.live / max(1, rows.size)
        return live if self._kept is None else live * float(self._kept.mean()) if len(self._kept) else 0.0

    def _scores_at(self, positions: Positions) -> Scores:
        return scores_at(self._rows.vectors, self._query, positions, self._rows.metric)

    def _cosines(self, positions: Positions, scores: Scores) -> Scores:
        if self._rows.metric == "cosine":
            return scores
        return cosines_at(self._rows.vectors, self._query, positions)

    def _per_cosine(self, positions: Positions) -> Scores:
        return per_cosine_at(self._rows.vectors, self._query, positions, self._rows.metric)

    def _omissions(self, candidates: Positions, exact: Scores, hits: Positions) -> Omissions:
        alive, visible = self._visible.alive(candidates), self._visible.at(candidates)
        is_named = visible & ~np.isin(candidates, hits)
        lost, scores = candidates[is_named], exact[is_named]
        order = np.lexsort((lost, -scores))[:SHOWN_DROPPED]
        return Omissions(
            dropped=self._dropped(lost[order], scores[order]),
            deleted=int(np.count_nonzero(~alive)),
            filtered=int(np.count_nonzero(alive & ~visible)),
        )

    def _dropped(self, positions: Positions, scores: Scores) -> list[Dropped]:
        threshold = self._params.score_threshold
        is_near = np.ones(len(positions), dtype=bool)
        if threshold is not None:
            is_near = self._cosines(positions, scores) >= threshold
        ids = self._view.rows.ids(self.size)[positions]
        return [
            Dropped(row, score, "outranked" if near else "threshold")
            for row, score, near in zip(ids.tolist(), scores.tolist(), is_near.tolist(), strict=True)
        ]
