"""CountedWords: words of texts, counted by whoever brings the texts rather than by the one thread that writes.

The same title and headings stand over many chunks, and the same words in many of them: each is kept once.
"""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from numpy.typing import NDArray


class Passage:
    """Words that stand together, in one text or in several.

    Attributes:
        text: they, with blanks between.
        counts: how often each comes.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.text = " ".join(words)
        self.counts = Counter(words)


@dataclass(frozen=True, slots=True)
class CountedWords:
    """Of some texts, which have ordinals from 0.

    Attributes:
        texts: the words of each, with blanks between.
        lengths: how many words each has.
        words: each that comes, once.
        ends: ``(len(words),)``: behind the places of each word.
        ordinals: ``(places,)`` texts that have a word, ascending for each word.
        counts: ``(places,)``: how often.
    """

    texts: Sequence[str]
    lengths: Sequence[int]
    words: Sequence[str]
    ends: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    counts: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.texts)

    def postings(self, base: int) -> Iterator[tuple[str, memoryview, memoryview]]:
        """Each word, the ordinals of texts that have it plus ``base``, and how often: bytes of int64 and of int32."""
        ordinals, counts = memoryview((self.ordinals + base).tobytes()), memoryview(self.counts.tobytes())
        first = 0
        for word, end in zip(self.words, self.ends.tolist(), strict=True):
            yield word, ordinals[8 * first : 8 * end], counts[4 * first : 4 * end]
            first = end


def counted_words(texts: Iterable[Sequence[Passage]]) -> CountedWords:
    """Of texts of which each is some passages, one behind the other."""
    numbers: dict[str, int] = {}
    words, ordinals, counts = array("i"), array("q"), array("i")
    joined, lengths = [], []
    for ordinal, passages in enumerate(texts):
        own = passages[0].counts
        for each in passages[1:]:
            own = own + each.counts
        words.extend([numbers.setdefault(word, len(numbers)) for word in own])
        ordinals.extend(repeat(ordinal, len(own)))
        counts.extend(own.values())
        lengths.append(own.total())
        joined.append(" ".join(each.text for each in passages if each.text))
    by_word = np.array(words, dtype=np.int32)
    order = np.argsort(by_word, kind="stable")
    ends = np.cumsum(np.bincount(by_word, minlength=len(numbers)), dtype=np.int64)
    return CountedWords(
        joined,
        lengths,
        list(numbers),
        ends,
        np.array(ordinals, dtype=np.int64)[order],
        np.array(counts, dtype=np.int32)[order],
    )
