"""The visible rows of a view that have words of a query: what a search by words adds to one by vectors.

tantivy knows neither versions nor filters. What it finds is held to the same mask as what FAISS finds, and where that
leaves too little it is asked for more, or for the rows that pass alone.
"""

from collections.abc import Sequence
from functools import partial
from math import ceil

import numpy as np

from indexes.base import Positions, Scores, SearchParams
from indexes.lexical_view import LexicalView
from indexes.required_words import by_required_words
from indexes.rows import VisibleAt
from indexes.view import View
from indexes.wording import Wording, looked_up

# Where a filter leaves no more rows, these are named to tantivy. Otherwise it is asked for so many that enough of them
# pass: ten thousand cost less than naming a thousand (10k rows, seven words: 0.6 and 1.4 ms on one thread).
_FEW_ROWS = 400
# Rows asked for beyond what should do, how much more is asked for where it did not, from where the rows that pass are
# named after all, and how many of them are too many for that.
_SPARE, _DEEPER, _DEEPEST, _MOST_NAMED = 1.2, 4, 32_768, 10_000


def by_words(view: View, version: int, params: SearchParams, lexical: LexicalView, words: Sequence[str]) -> Wording:
    """The ``top_k`` best rows that are visible at ``version``; no threshold is held to them.

    Args:
        words: as ``LexicalIndex.words`` makes them of the query.

    Raises:
        LexicalError: tantivy failed.
    """
    if params.required is not None:
        return by_required_words(view, version, params, lexical, words)
    visible = view.visible(version, params.admitted)
    size, kept, depth = visible.size, visible.kept, params.top_k
    share = view.rows.live / max(1, size) * (1.0 if kept is None else float(kept.mean()) if len(kept) else 0.0)
    limit = ceil(_SPARE * depth / max(share, 1 / max(1, size)))
    passing = share * size
    while kept is None or passing > _MOST_NAMED or (limit <= _DEEPEST and passing > _FEW_ROWS):
        rows, scores = lexical.best(words, limit)
        positions, seen = view.placed(rows, visible)
        is_all = len(rows) < limit
        if is_all or np.count_nonzero(seen) >= depth:
            is_whole = is_all and bool(np.count_nonzero(seen) <= depth)
            others = None if is_whole else partial(_scores_at, view, lexical, words)
            return Wording(positions[seen][:depth], scores[seen][:depth], others)
        limit *= _DEEPER
    return _among(view, visible, lexical, words, depth)


def _among(view: View, visible: VisibleAt, lexical: LexicalView, words: Sequence[str], depth: int) -> Wording:
    passing = view.rows.ids(view.rows.size)[np.flatnonzero(visible.mask(0, visible.size))]
    rows, scores = lexical.best(words, depth + 1, passing.tolist()) if len(passing) else (passing, np.empty(0))
    positions = view.rows.found(rows)[0]
    others = None if len(rows) <= depth else partial(_scores_at, view, lexical, words)
    return Wording(positions[:depth], scores[:depth], others)


def _scores_at(view: View, lexical: LexicalView, words: Sequence[str], positions: Positions) -> Scores:
    ids = view.rows.ids(view.rows.size)[positions]
    rows, scores = lexical.best(words, len(ids), ids.tolist())
    return looked_up(positions, view.rows.found(rows)[0], scores)[0]
