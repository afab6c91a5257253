"""Duplicates: passages that say nearly the same, of which a prompt needs one.

Copies of a text in several documents have nearly the same vectors and the same words, so they are found together and
would fill a prompt. They stay among the hits, since each is in a document of its own. Texts that say other numbers are
none: an answer may be the very number.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from indexes.base import Hit

# Words that a shingle has, and from which share of common shingles on two texts are nearly the same. With three of them
# the share of two chunks of 100 tokens, one word of which differs, is .92; of two chunks that overlap by a fifth, .11.
SHINGLE_WORDS = 3
NEARLY_THE_SAME = 0.9

# Characters of a text that are compared; what is behind them counts by its length.
_COMPARED = 8000

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\w*\d\w*")

Shingles = frozenset[tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A chunk, and the better-ranked one that says nearly the same; both by their ids."""

    chunk: str
    of: str


def told_apart(hits: Sequence[Hit], wanted: int) -> tuple[list[Hit], list[Duplicate]]:
    """The ``wanted`` best hits no two of which say nearly the same, and those that were passed over for that.

    Args:
        hits: best first. No more of them are read than it takes.
    """
    kept: list[tuple[Hit, Shingles]] = []
    passed_over: list[Duplicate] = []
    for hit in hits:
        if len(kept) == wanted:
            break
        shingles = shingles_of(hit.chunk.text[:_COMPARED])
        alike = (better for better, of in kept if resemblance(of, shingles) >= NEARLY_THE_SAME)
        first = next((better for better in alike if _is_alike_besides(better, hit)), None)
        if first is None:
            kept.append((hit, shingles))
        else:
            passed_over.append(Duplicate(hit.chunk.id, first.chunk.id))
    return [hit for hit, _ in kept], passed_over


def shingles_of(text: str) -> Shingles:
    """Every run of ``SHINGLE_WORDS`` words, case-folded; a shorter text is one, and one without words is itself."""
    words = _WORD.findall(text.casefold()) or [text.strip()]
    return frozenset(_runs(words)) or frozenset([tuple(words)])


def resemblance(one: Shingles, other: Shingles) -> float:
    """The share of their shingles that both have, 0..1 (Jaccard; Broder, On the resemblance of documents, 1997)."""
    if not _are_close(len(one), len(other)):
        return 0.0
    common = len(one & other)
    return common / (len(one) + len(other) - common)


def _numbers(text: str) -> Counter[str]:
    return Counter(_NUMBER.findall(text.casefold()))


def _is_alike_besides(one: Hit, other: Hit) -> bool:
    """Of what shingles leave open: the numbers, and the rest of long texts."""
    first, second = one.chunk.text, other.chunk.text
    if _numbers(first) != _numbers(second):
        return False
    return _are_close(max(0, len(first) - _COMPARED), max(0, len(second) - _COMPARED))


def _are_close(one: int, other: int) -> bool:
    return min(one, other) >= NEARLY_THE_SAME * max(one, other)


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(words[first:] for first in range(SHINGLE_WORDS)), strict=False)
