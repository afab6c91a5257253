"""Fusion: one order for what was found by vectors and what was found by words.

The score of a row is ``w cos / max(cos) + (1 - w) bm25 / max(bm25)``, over all rows that either search found: a convex
sum of both, each held to the best of its kind (Bruch, Gai and Ingber, An Analysis of Fusion Functions for Hybrid
Retrieval, 2022). On two collections it was better than reciprocal ranks, and no worse than other ways to normalise; see
docs/decisions. Where both have a say, the cosines are taken a second time, of the query as the first order moves it.
"""

from dataclasses import dataclass, replace

import numpy as np

from indexes.base import Mask, Positions, Scores, SearchParams, Vectors
from indexes.boosting import boost_weights
from indexes.exact import cosines_at, scores_at
from indexes.feedback import ROWS, fed_back
from indexes.nearest import SHOWN_DROPPED, Dropped, Found, Omissions, Reason
from indexes.view import View
from indexes.wording import Wording

# Rows that each of both searches finds at least; twice as many were no better.
LEAST_DEPTH = 100


def dense_params(params: SearchParams) -> SearchParams:
    """The search by vectors that is half of a hybrid one."""
    return replace(params, top_k=max(LEAST_DEPTH, params.top_k), hybrid=None)


def per_unit(values: Scores) -> float:
    """What a value higher by one adds to its share of the greatest of ``values``; 0 where none is above 0."""
    best = float(values.max(initial=0.0))
    return 1 / best if best > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Fusion:
    """One hybrid search of a view.

    Attributes:
        query: ``(dimension,)``.
        share: of the vectors, 0..1.
    """

    view: View
    query: Vectors
    params: SearchParams
    share: float

    def of(self, dense: Found, wording: Wording) -> Found:
        """The ``top_k`` best of what ``dense_params`` found and of the rows that have the words.

        Args:
            wording: of the same view at the same version.

        Raises:
            LexicalError: tantivy failed.
        """
        by_vectors = self.view.rows.found(dense.rows)[0]
        shown = self._shown(dense)
        positions = np.unique(np.concatenate([by_vectors, wording.positions, shown]))
        cosines = self._cosines(positions, self.query)
        weights = boost_weights(self.view, self.params.boosts, positions)
        lexical = wording.scores_at(positions)
        near = self._near(cosines)
        competes = near & np.isin(positions, np.concatenate([by_vectors, wording.positions]))
        ordering = self._fed_back(positions, cosines, lexical, competes)
        scores, per_cosine = self._scores(ordering + weights, lexical, competes)
        kept = np.flatnonzero(competes)
        kept = kept[np.lexsort((positions[kept], -cosines[kept], -scores[kept]))][: self.params.top_k]
        lost = np.setdiff1d(np.arange(len(positions)), kept)
        return replace(
            dense,
            rows=self._ids(positions[kept]),
            scores=scores[kept],
            cosines=cosines[kept],
            per_cosine=np.full(len(kept), per_cosine, dtype=np.float32),
            weights=weights[kept] if self.params.boosts else dense.weights,
            lexical=lexical[kept],
            omissions=self._omissions(dense, positions[lost], scores[lost], near[lost]),
        )

    def _fed_back(self, positions: Positions, cosines: Scores, lexical: Scores, competes: Mask) -> Scores:
        """``(n,)`` cosines with the query moved towards the best; as they are where vectors or words alone decide.

        Vectors that follow themselves find less, and boosts say nothing of what is asked.
        """
        if not 0 < self.share < 1 or not lexical[competes].any():
            return cosines
        first, _ = self._scores(cosines, lexical, competes)
        among = np.flatnonzero(competes)
        best = positions[among[np.lexsort((positions[among], -first[among]))][:ROWS]]
        vectors = self.view.rows.vectors(self.view.rows.size)
        return self._cosines(positions, fed_back(self.query, vectors[best]))

    def _scores(self, cosines: Scores, lexical: Scores, competes: Mask) -> tuple[Scores, float]:
        """``(n,)`` of every row, held to the best of those that compete; and what a cosine higher by one adds."""
        per_cosine = self.share * per_unit(cosines[competes])
        per_lexical = (1 - self.share) * per_unit(lexical[competes])
        scores = np.maximum(cosines, 0) * np.float32(per_cosine) + lexical * np.float32(per_lexical)
        return scores.astype(np.float32), per_cosine

    def _cosines(self, positions: Positions, query: Vectors) -> Scores:
        rows = self.view.rows
        if rows.metric == "cosine":
            return scores_at(rows.vectors(rows.size), query, positions, rows.metric)
        return cosines_at(rows.vectors(rows.size), query, positions)

    def _near(self, cosines: Scores) -> Mask:
        threshold = self.params.score_threshold
        return np.ones(len(cosines), dtype=bool) if threshold is None else cosines >= threshold

    def _shown(self, dense: Found) -> Positions:
        """Rows that the search by vectors left out and may name."""
        rows = np.array([each.row for each in dense.omissions.dropped], dtype=np.int64)
        return self.view.rows.found(rows)[0]

    def _omissions(self, dense: Found, lost: Positions, scores: Scores, near: Mask) -> Omissions:
        if not self.params.explains_candidates:
            return dense.omissions
        order = np.lexsort((lost, -scores))[:SHOWN_DROPPED]
        reasons: list[Reason] = ["outranked" if each else "threshold" for each in near[order].tolist()]
        named = zip(self._ids(lost[order]).tolist(), scores[order].tolist(), reasons, strict=True)
        return replace(dense.omissions, dropped=[Dropped(*each) for each in named])

    def _ids(self, positions: Positions) -> Positions:
        return self.view.rows.ids(self.view.rows.size)[positions]
