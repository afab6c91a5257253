"""What a search of one view comes to: by vectors, with boosts, and with words where these are asked for."""

import time
from dataclasses import dataclass, replace

from indexes.base import SearchParams, Vectors
from indexes.boosting import boosted
from indexes.errors import LexicalError
from indexes.fusion import Fusion, dense_params
from indexes.lexical import LexicalIndex
from indexes.lexical_search import by_words
from indexes.lexical_state import Absence
from indexes.nearest import Found, nearest
from indexes.view import View


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows, and how long what led to them took.

    Attributes:
        found: the rows.
        plain: what was found by vectors before boosts and words came to it.
        asked: what ``plain`` was asked for.
        boost_s: seconds that the searches of boosts took.
        lexical_s: seconds that the search for words took.
        fusion_s: seconds that making one list of both took.
        without_lexical: why words were not looked for although they were asked for.
    """

    found: Found
    plain: Found
    asked: SearchParams
    boost_s: float = 0.0
    lexical_s: float = 0.0
    fusion_s: float = 0.0
    without_lexical: Absence | None = None


def find(view: View, version: int, query: Vectors, params: SearchParams, lexical: LexicalIndex) -> Finding:
    """The ``top_k`` best rows for a ``(dimension,)`` query that are visible at ``version``.

    Args:
        lexical: of the same collection; where it cannot be searched, vectors alone decide.
    """
    if params.hybrid is None:
        return _by_vectors(view, version, query, params)
    words = lexical.served
    if words.absence is None:
        dense = _by_vectors(view, version, query, dense_params(params))
        start = time.perf_counter()
        try:
            wording = by_words(view, version, dense.asked, words.view, lexical.words(params.hybrid.text))
            found = time.perf_counter()
            both = Fusion(view, query, params, params.hybrid.weight).of(dense.found, wording)
            end = time.perf_counter()
            return replace(dense, found=both, lexical_s=found - start, fusion_s=end - found)
        except LexicalError as error:
            lexical.distrust(error)
    alone = _by_vectors(view, version, query, replace(params, hybrid=None))
    return replace(alone, without_lexical=words.absence or "failing")


def _by_vectors(view: View, version: int, query: Vectors, params: SearchParams) -> Finding:
    plain = nearest(view, version, query, params)
    if not params.boosts:
        return Finding(plain, plain, params)
    start = time.perf_counter()
    found = boosted(view, version, query, params, plain)
    return Finding(found, plain, params, boost_s=time.perf_counter() - start)
