"""Quotes: which sentences make the answer, and in what order."""

from collections.abc import Sequence

from service.generation.evidence import Evidence

_MOST = 3
# How much lower than the best a sentence may score that is quoted beside it: measured, as the weights are.
_NEAR = 0.7
# What it is worth that a sentence goes on where a quoted one ends, with no more than a line or a bullet between: see
# docs/decisions/0019-looking-twice.md.
_GOES_ON = 0.1
_GAP = 3


def chosen(ranked: Sequence[Evidence]) -> list[Evidence]:
    """One to three sentences, in the order of their documents; none of them repeats another, or has half of it.

    Args:
        ranked: best first; empty gives none.
    """
    quoted: list[Evidence] = []
    left = [one for one in ranked if one.score >= ranked[0].score - _NEAR]
    while left and len(quoted) < _MOST:
        best = max(left, key=lambda one: one.score + (_GOES_ON if _goes_on(one, quoted) else 0.0))
        quoted.append(best)
        left = [one for one in left if one is not best and not _repeats(one, best)]
    return _in_order(quoted)


def _goes_on(one: Evidence, quoted: Sequence[Evidence]) -> bool:
    sentence = one.sentence
    before = [other.sentence.end for other in quoted if other.sentence.document_id == sentence.document_id]
    return any(0 <= sentence.start - end <= _GAP for end in before)


def _repeats(one: Evidence, other: Evidence) -> bool:
    first, second = one.sentence, other.sentence
    common = min(first.end, second.end) - max(first.start, second.start)
    shorter = min(first.end - first.start, second.end - second.start)
    # A quotation mark may belong to either of two neighbours, as their passages are cut.
    overlaps = first.document_id == second.document_id and 2 * common >= shorter
    return overlaps or one.said == other.said


def _in_order(quoted: Sequence[Evidence]) -> list[Evidence]:
    """Documents as their best passage is ranked, the sentences of each as it has them."""
    ranks: dict[str, int] = {}
    for one in quoted:
        number, document = one.sentence.passage.number, one.sentence.document_id
        ranks[document] = min(number, ranks.get(document, number))
    return sorted(quoted, key=lambda one: (ranks[one.sentence.document_id], one.sentence.start))
