"""Boosting: rows of documents that pass a filter come earlier, as if every row had been scored with its boost.

Beside the plain search each boost makes one of its own, among the rows that pass its filter. What belongs to the best
``top_k`` with its boost is among the best of the search of that boost: whatever comes before it there has at least the
same. So the best of all their hits are the best of the collection, found as well as each search finds them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from indexes.base import Boost, Mask, Positions, Scores, SearchParams, Vectors
from indexes.exact import cosines_at, per_cosine_at, scores_at
from indexes.filters import Filter, joined
from indexes.generation import NO_ROWS
from indexes.nearest import NO_SCORES, SHOWN_DROPPED, Dropped, Found, Omissions, nearest
from indexes.view import View

# Rows that are scored at once; their vectors are copied for their norms.
_BLOCK_ROWS = 8192


def boosted(view: View, version: int, query: Vectors, params: SearchParams, plain: Found) -> Found:
    """The ``top_k`` best rows by their scores with boosts.

    Args:
        query: ``(dimension,)``.
        plain: what ``nearest`` found for the same.
    """
    return _Boosted(view, version, query, params).of(plain)


def boost_weights(view: View, boosts: Sequence[Boost], positions: Positions) -> Scores:
    """``(n,)``: the greatest weight that applies to each row; 0 where none does."""
    weights = np.zeros(len(positions), dtype=np.float32)
    documents = view.rows.documents(view.rows.size)[positions]
    for boost in boosts:
        passing = view.attributes.mask(boost.filter, view.attributes.size)[documents]
        weights = np.maximum(weights, np.where(passing, np.float32(boost.weight), np.float32(0)))
    return weights


@dataclass(frozen=True, slots=True)
class _Boosted:
    view: View
    version: int
    query: Vectors
    params: SearchParams

    def of(self, plain: Found) -> Found:
        positions = np.unique(np.concatenate([self._positions(plain), *map(self._found, self.params.boosts)]))
        weights = self._weights_at(positions)
        scores = self._plain_scores(positions) + weights * self._per_cosine(positions)
        kept = self._order(positions, scores)[: self.params.top_k]
        lost = np.setdiff1d(np.arange(len(positions)), kept)
        return replace(
            plain,
            rows=self._ids(positions[kept]),
            scores=scores[kept],
            cosines=self._cosines(positions[kept]),
            per_cosine=self._per_cosine(positions[kept]),
            weights=weights[kept],
            omissions=self._omissions(plain, positions[lost], scores[lost], positions[kept]),
        )

    def _found(self, boost: Boost) -> Positions:
        """The best rows among those that pass a boost's filter."""
        alone = replace(self.params, filter=joined(self.params.filter, boost.filter), explain=False)
        if self.view.rows.has_one_length:  # or cosine: the same weight leaves them in their order
            return self._positions(nearest(self.view, self.version, self.query, alone))
        return self._scanned(joined(self.params.required, self.params.filter, boost.filter), boost.weight)

    def _scanned(self, filter: Filter | None, weight: float) -> Positions:
        """The same where a boost is worth more to a longer vector, so that no index knows their order."""
        rows, scores = NO_ROWS, NO_SCORES
        passing = np.flatnonzero(self._visible(filter))
        for first in range(0, len(passing), _BLOCK_ROWS):
            block = self._near(passing[first : first + _BLOCK_ROWS])
            rows = np.append(rows, block)
            scores = np.append(scores, self._plain_scores(block) + np.float32(weight) * self._per_cosine(block))
            kept = self._order(rows, scores)[: self.params.top_k]
            rows, scores = rows[kept], scores[kept]
        return rows

    def _near(self, positions: Positions) -> Positions:
        threshold = self.params.score_threshold
        return positions if threshold is None else positions[self._cosines(positions) >= threshold]

    def _visible(self, filter: Filter | None) -> Mask:
        visible = self.view.visible(self.version, filter)
        return visible.mask(0, visible.size)

    def _weights_at(self, positions: Positions) -> Scores:
        return boost_weights(self.view, self.params.boosts, positions)

    def _omissions(self, plain: Found, lost: Positions, scores: Scores, kept: Positions) -> Omissions:
        """Those of the plain search, and what the boosts of others outranked; every score with its boost."""
        if not self.params.explains_candidates:
            return plain.omissions
        outranked = self._ids(lost).tolist()
        dropped = [Dropped(row, score, "outranked") for row, score in zip(outranked, scores.tolist(), strict=True)]
        named = {*outranked, *self._ids(kept).tolist()}
        others = [each for each in plain.omissions.dropped if each.row not in named]
        positions = self.view.rows.found(np.array([each.row for each in others], dtype=np.int64))[0]
        gained = (self._weights_at(positions) * self._per_cosine(positions)).tolist()
        dropped += [replace(each, score=each.score + more) for each, more in zip(others, gained, strict=True)]
        dropped.sort(key=lambda each: -each.score)
        return replace(plain.omissions, dropped=dropped[:SHOWN_DROPPED])

    def _positions(self, found: Found) -> Positions:
        return self.view.rows.found(found.rows)[0]

    def _ids(self, positions: Positions) -> Positions:
        return self.view.rows.ids(self.view.rows.size)[positions]

    def _order(self, positions: Positions, scores: Scores) -> Positions:
        """Places of the best scores, best first, equal ones by position."""
        return np.lexsort((positions, -scores))

    def _plain_scores(self, positions: Positions) -> Scores:
        return scores_at(self._vectors, self.query, positions, self.view.rows.metric)

    def _cosines(self, positions: Positions) -> Scores:
        if self.view.rows.metric == "cosine":
            return self._plain_scores(positions)
        return cosines_at(self._vectors, self.query, positions)

    def _per_cosine(self, positions: Positions) -> Scores:
        return per_cosine_at(self._vectors, self.query, positions, self.view.rows.metric)

    @property
    def _vectors(self) -> Vectors:
        return self.view.rows.vectors(self.view.rows.size)
