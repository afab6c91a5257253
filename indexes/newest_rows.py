"""NewestRows: words of the rows that the lexical index on the disk does not have yet."""

from array import array
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from indexes.base import RowIds
from indexes.bm25 import Corpus, saturation
from indexes.counted_words import CountedWords, Passage, counted_words
from indexes.generation import NO_ROWS
from indexes.postings import Postings

# What a posting, a word that comes for the first time and a row take, about; measured with tracemalloc.
_POSTING_BYTES, _WORD_BYTES, _ROW_BYTES = 12, 330, 100

Ordinals = NDArray[np.int64]


class _Posting:
    __slots__ = ("counts", "ordinals")

    def __init__(self) -> None:
        self.ordinals = array("q")
        self.counts = array("i")


class NewestRows:
    """An inverted index in memory. One thread appends, rows ascending, while others search.

    A reader takes a size first, and is answered for exactly those rows, whatever is appended meanwhile: slices of
    ``array`` are copies that are made under the interpreter's lock.
    """

    def __init__(self) -> None:
        self._postings: dict[str, _Posting] = {}
        self._rows = array("q")
        self._lengths = array("q")
        self._texts: list[str] = []
        self._words = 0
        self._places = 0

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def last_row(self) -> int:
        """The highest row; 0 where there is none."""
        return self._rows[-1] if self._rows else 0

    @property
    def corpus(self) -> Corpus:
        """How much there is."""
        return Corpus(len(self._rows), self._words)

    @property
    def bytes(self) -> int:
        """Memory, about."""
        texts = sum(map(len, self._texts[:]))
        return texts + _POSTING_BYTES * self._places + _WORD_BYTES * len(self._postings) + _ROW_BYTES * len(self._rows)

    def append(self, row: int, words: Sequence[str]) -> None:
        """Add a row above all there are."""
        self.extend([row], counted_words([[Passage(words)]]))

    def extend(self, rows: Sequence[int], counted: CountedWords) -> None:
        """Add ascending rows above all there are, with the words of each; a step for each word, not for each row.

        Raises:
            ValueError: there are not as many texts as rows.
        """
        if len(rows) != len(counted):
            raise ValueError(f"{len(rows)} rows have the words of {len(counted)} texts")
        for word, ordinals, counts in counted.postings(len(self._rows)):
            posting = self._postings.get(word)
            if posting is None:
                posting = self._postings[word] = _Posting()
            posting.ordinals.frombytes(ordinals)
            posting.counts.frombytes(counts)  # last: their number is what a search goes by
        self._places += len(counted.counts)
        self._texts.extend(counted.texts)
        self._lengths.extend(counted.lengths)
        self._words += sum(counted.lengths)
        self._rows.extend(rows)  # last, for the same reason

    def behind(self, row: int) -> Iterator[tuple[int, int, str]]:
        """(row, words, text of them) of the rows above ``row``, ascending."""
        rows = self._rows[:]
        for ordinal in range(int(np.searchsorted(rows, row, side="right")), len(rows)):
            yield rows[ordinal], self._lengths[ordinal], self._texts[ordinal]

    def frequency(self, word: str) -> int:
        """Rows that have the word."""
        posting = self._postings.get(word)
        return 0 if posting is None else len(posting.counts)

    def scores(
        self, weights: Mapping[str, float], mean_length: float, behind: int
    ) -> tuple[RowIds, NDArray[np.float64]]:
        """``(n,)`` rows above ``behind`` that have one of the words, ascending, and their BM25.

        Args:
            weights: idf by word.
            mean_length: of all texts.
        """
        rows, lengths = self._columns()
        scores = np.zeros(len(rows))
        for word, weight in weights.items():
            ordinals, counts = self._having(word, len(rows))
            scores[ordinals] += weight * saturation(counts, lengths[ordinals], mean_length)
        has_one = (scores > 0) & (rows > behind)
        return rows[has_one], scores[has_one]

    def postings(self, word: str, behind: int) -> Postings:
        """Every row above ``behind`` that has the word."""
        rows, lengths = self._columns()
        ordinals, counts = self._having(word, len(rows))
        above = rows[ordinals] > behind
        ordinals, counts = ordinals[above], counts[above]
        return Postings(rows[ordinals], counts, lengths[ordinals])

    def _columns(self) -> tuple[RowIds, NDArray[np.int64]]:
        """``(n,)`` each: the rows, and how long they are."""
        rows = np.array(self._rows[:], dtype=np.int64)
        return rows, np.array(self._lengths[: len(rows)], dtype=np.int64)

    def _having(self, word: str, size: int) -> tuple[Ordinals, NDArray[np.int64]]:
        """``(n,)`` each: those of the first ``size`` rows that have the word, and how often."""
        posting = self._postings.get(word)
        if posting is None:
            return NO_ROWS, NO_ROWS
        counts = np.array(posting.counts[:], dtype=np.int64)
        ordinals: Ordinals = np.array(posting.ordinals[: len(counts)], dtype=np.int64)
        known = ordinals < size
        return ordinals[known], counts[known]
