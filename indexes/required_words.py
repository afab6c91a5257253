"""The words of the rows that a required filter passes, as though there were no others.

How rare a word is among all rows, and how long these are, would tell of what the filter hides. So BM25 is made of those
alone that pass. Few of them are named to tantivy, and the time it takes does not tell of others either. Else every row
that has a word is read, which takes 0.3 us for each, and words that very many have are left to the vectors.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np

from indexes.base import Positions, Scores, SearchParams
from indexes.bm25 import idf, saturation
from indexes.generation import NO_ROWS
from indexes.lexical_view import Bm25, LexicalView
from indexes.postings import Postings
from indexes.rows import VisibleAt
from indexes.view import View
from indexes.word_engine import NO_SCORES
from indexes.wording import Wording, looked_up

# Of a longer query the first count: which are the rarest would be known only after all were looked up.
MOST_WORDS = 64
# Rows that are named: the time of more depends on how many rows there are at all.
_FEW_ROWS = 400
# Rows that are read for one word, and for all of a query; the interpreter stands still meanwhile.
_MOST_READ, _MOST_READ_IN_ALL = 32_768, 131_072


def by_required_words(
    view: View, version: int, params: SearchParams, lexical: LexicalView, words: Sequence[str]
) -> Wording:
    """The ``top_k`` best rows that are visible at ``version``; no threshold is held to them.

    Args:
        params: with a ``required`` filter.
        words: as ``LexicalIndex.words`` makes them of the query.

    Raises:
        LexicalError: tantivy failed.
    """
    known = view.visible(version, params.required)
    passing = np.flatnonzero(known.mask(0, known.size))
    words = list(dict.fromkeys(words))[:MOST_WORDS]
    if len(passing) <= _FEW_ROWS:
        among = view.rows.ids(known.size)[passing]
        postings = [lexical.postings(word, among) for word in words] if len(among) else []
    else:
        postings = [lexical.postings(word) for word in _readable(lexical, words)]
    positions, scores = _bm25([_known(view, known, each) for each in postings], len(passing))
    wanted = np.flatnonzero(view.visible(version, params.admitted).at(positions))
    best = wanted[np.lexsort((positions[wanted], -scores[wanted]))[: params.top_k]]
    return Wording(positions[best], scores[best], partial(_scores_of, positions, scores))


def _readable(lexical: LexicalView, words: Sequence[str]) -> Sequence[str]:
    """Those that few enough rows have, in their order: rare ones first, until what may be read is used up."""
    found = {word: lexical.frequency(word) for word in words}
    rarest = sorted(words, key=found.__getitem__)
    read = np.cumsum([found[word] for word in rarest])
    readable = {
        word
        for word, so_far in zip(rarest, read.tolist(), strict=True)
        if found[word] <= _MOST_READ and so_far <= _MOST_READ_IN_ALL
    }
    return [word for word in words if word in readable]


def _known(view: View, known: VisibleAt, postings: Postings) -> Postings:
    """Those of rows that are known of; by position."""
    positions, seen = view.placed(postings.rows, known)
    return Postings(positions, postings.counts, postings.lengths).of(seen)


def _bm25(having: Sequence[Postings], rows: int) -> tuple[Positions, Bm25]:
    """``(n,)`` each: positions that have a word, ascending, and their BM25 among so many rows.

    Lengths are held to the mean of those that have a word: that of all is not kept for every filter.
    """
    every = Postings.joined(having)
    if not len(every.rows):
        return NO_ROWS, NO_SCORES
    positions, first, places = np.unique(every.rows, return_index=True, return_inverse=True)
    mean_length = float(every.lengths[first].mean())
    weights = np.repeat([idf(rows, len(each.rows)) for each in having], [len(each.rows) for each in having])
    scores = np.zeros(len(positions))
    np.add.at(scores, places, weights * saturation(every.counts, every.lengths, mean_length))
    return positions, scores


def _scores_of(found: Positions, values: Bm25, positions: Positions) -> Scores:
    return looked_up(positions, found, values)[0]
