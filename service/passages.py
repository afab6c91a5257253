"""Passages: the hits that an answer may rest on."""

from collections.abc import Sequence
from dataclasses import dataclass

from indexes.base import Hit
from service.duplicates import Duplicate, told_apart
from service.generation.base import Passage
from service.settings import AnswerSettings


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a generator is given.

    Attributes:
        passages: best first, numbered from 1.
        duplicates: hits that would be among them, did they not say what a better one says.
    """

    passages: Sequence[Passage] = ()
    duplicates: Sequence[Duplicate] = ()


def chosen(
    hits: Sequence[Hit], policy: AnswerSettings, *, wants_llm: bool, found: Sequence[Hit] | None = None
) -> Chosen:
    """The best, and no two of the same text.

    There are none where a language model is wanted and not one is near the question, by its cosine whatever they are
    ordered by; a generator that quotes judges for itself.

    Args:
        hits: best first.
        found: all that the search found, if ``hits`` are some of it: one of them is near enough, whichever it is.
    """
    nearest = max((hit.scores["vector"] for hit in (hits if found is None else found)), default=-1.0)
    if wants_llm and nearest < policy.min_score:
        return Chosen()
    kept, duplicates = told_apart(hits, policy.passages)
    return Chosen([Passage(number, hit) for number, hit in enumerate(kept, start=1)], duplicates)
