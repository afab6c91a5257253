r"""Preprocessing: what is done to a question's text before it is embedded, as steps with names.

Two queries that look alike get one vector and one entry of the cache. Stored texts are never changed, and what a
language model reads is the question as it was asked.

    unicode     to NFC: canonically equivalent texts become the same code points, and nothing else changes. NFKC would
                also turn x² into x2 and ½ into 1/2, which the stored texts that are searched do not. Where full-width
                queries meet documents of normal width, ``retrieval.unicode_form`` says NFKC.
    invisible   without what nobody sees and a copy brings along: zero-width spaces, marks of direction, soft hyphens,
                byte order marks, tag characters, NUL and the other controls. The two joiners stay where a script is
                spelled with them (contexts A1, A2 and B of Unicode's UAX 31): "می‌روم" is another word without it.
    whitespace  every run of it, line ends included, is one space; none at the ends.

The embedder puts its prompt for queries before the text itself, and reads as many tokens of both as it can.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Literal

from service.invisible import visible

UnicodeForm = Literal["NFC", "NFKC"]

_JOINERS = ("\u200c", "\u200d")
_VIRAMA = 9  # its canonical combining class


@dataclass(frozen=True, slots=True)
class Step:
    """A pure function of a text; twice is as good as once."""

    name: str
    apply: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Changed:
    """A step that changed something; lengths are in Unicode code points."""

    step: str
    text: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Prepared:
    """The text to embed, empty where the query had nothing to see; and the steps that changed something, in order."""

    text: str
    changes: Sequence[Changed] = ()


def prepared(text: str, form: UnicodeForm = "NFC") -> Prepared:
    """``text`` after every step; preparing the result again changes nothing."""
    changes = []
    for step in steps(form):
        done = step.apply(text)
        if done != text:
            changes.append(Changed(step.name, done, len(text), len(done)))
        text = done
    return Prepared(text, changes)


@cache
def steps(form: UnicodeForm) -> tuple[Step, ...]:
    """The steps, in the order they are taken."""
    return (
        Step("unicode", partial(unicodedata.normalize, form)),
        Step("invisible", partial(_seen, form=form)),
        Step("whitespace", lambda text: " ".join(text.split())),
    )


def _seen(text: str, form: UnicodeForm) -> str:
    """What is taken out may have kept a letter from its accent, so the result is normalised again."""
    kept = visible(text)
    if any(joiner in kept for joiner in _JOINERS):
        kept = _without_idle_joiners(kept)
    return unicodedata.normalize(form, kept)


def _without_idle_joiners(text: str) -> str:
    kept: list[str] = []
    for i, character in enumerate(text):
        if character not in _JOINERS or _joins(character, kept, text[i + 1 : i + 2]):
            kept.append(character)
    return "".join(kept)


def _joins(joiner: str, before: Sequence[str], following: str) -> bool:
    """Whether spelling needs it: after a virama, or the non-joiner between two Arabic letters, whatever their marks."""
    for character in reversed(before):
        if unicodedata.combining(character) == _VIRAMA:
            return True
        if unicodedata.bidirectional(character) != "NSM":
            between_letters = unicodedata.bidirectional(character) == "AL" and _is_arabic(following)
            return joiner == _JOINERS[0] and between_letters
    return False


def _is_arabic(character: str) -> bool:
    return bool(character) and unicodedata.bidirectional(character) == "AL"
