"""Wording: what a search for words found."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from indexes.base import Mask, Positions, Scores
from indexes.lexical_view import Bm25


@dataclass(frozen=True, slots=True)
class Wording:
    """What a search for words found in a view.

    Attributes:
        positions: ``(n,)`` visible rows, best first.
        scores: ``(n,)`` BM25.
        others: BM25 of rows that are none of these, 0 where one has none of the words; None where all are 0.
    """

    positions: Positions
    scores: Bm25
    others: Callable[[Positions], Scores] | None

    def scores_at(self, positions: Positions) -> Scores:
        """``(len(positions),)``: BM25 of any rows of the view, 0 where a row has none of the words.

        Raises:
            LexicalError: tantivy failed.
        """
        scores, known = looked_up(positions, self.positions, self.scores)
        if self.others is not None and not known.all():
            scores[~known] = self.others(positions[~known])
        return scores


def looked_up(positions: Positions, found: Positions, values: Bm25) -> tuple[Scores, Mask]:
    """``(len(positions),)`` each: the value of those that are among ``found``, else 0, and which of them are."""
    scores, known = np.zeros(len(positions), dtype=np.float32), np.zeros(len(positions), dtype=bool)
    if len(found):
        order = np.argsort(found)
        places = order[np.minimum(np.searchsorted(found, positions, sorter=order), len(found) - 1)]
        known = found[places] == positions
        scores[known] = values[places[known]]
    return scores, known
