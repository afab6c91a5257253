"""BM25 as tantivy computes it, for rows that tantivy does not have yet.

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), with the idf of Lucene, which is
never negative. A text's length is kept in one byte: exact up to 40 words, then within an eighth.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

K1, B = 1.2, 0.75
_EXACT = 24


def _stored_lengths() -> NDArray[np.int64]:
    """``(256,)``: lengths that a byte can say, ascending: SmallFloat.byte4ToInt of Lucene.

    The first are themselves; the others are ``_EXACT`` and a number of four bits, shifted.
    """
    lengths = list(range(_EXACT))
    for byte in range(256 - _EXACT):
        bits, shift = byte & 7, (byte >> 3) - 1
        lengths.append(_EXACT + (bits if shift < 0 else (bits | 8) << shift))
    return np.array(lengths, dtype=np.int64)


LENGTHS = _stored_lengths()


@dataclass(frozen=True, slots=True)
class Corpus:
    """What the weight of a word depends on.

    Attributes:
        rows: texts.
        words: in all of them together.
    """

    rows: int = 0
    words: int = 0

    @property
    def mean_length(self) -> float:
        """Of a text, in words."""
        return self.words / self.rows if self.rows else 0.0

    def __add__(self, other: "Corpus") -> "Corpus":
        return Corpus(self.rows + other.rows, self.words + other.words)


def idf(rows: int, frequency: int) -> float:
    """Of a word that ``frequency`` of ``rows`` texts have."""
    return math.log1p((rows - frequency + 0.5) / (frequency + 0.5))


def tantivy_idf(rows: int, frequency: int) -> float:
    """The same as tantivy has it, in single precision: 0 for a word that all of very many texts have."""
    odds = (np.float32(rows - frequency) + np.float32(0.5)) / (np.float32(frequency) + np.float32(0.5))
    return float(np.log(np.float32(1) + odds))


def stored_length(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The shape of ``lengths``: the largest that a byte can say and that is not above."""
    return LENGTHS[np.searchsorted(LENGTHS, lengths, side="right") - 1]


def saturation(counts: NDArray[np.int64], lengths: NDArray[np.int64], mean_length: float) -> NDArray[np.float64]:
    """``(n,)``: what a word adds to the score of a text per unit of its idf.

    Args:
        counts: ``(n,)`` how often each text has the word.
        lengths: ``(n,)`` of the texts in words.
        mean_length: of all texts, above 0.
    """
    return (K1 + 1) * counts / (counts + _norm(lengths, mean_length))


def counts_of(saturations: NDArray[np.float64], lengths: NDArray[np.int64], mean_length: float) -> NDArray[np.int64]:
    """``(n,)``: the counts that have these saturations, which may be rounded to single precision."""
    ratios = saturations / np.maximum(K1 + 1 - saturations, np.finfo(np.float32).eps)
    return np.maximum(1, np.rint(ratios * _norm(lengths, mean_length))).astype(np.int64)


def _norm(lengths: NDArray[np.int64], mean_length: float) -> NDArray[np.float64]:
    return np.asarray(K1 * (1 - B + B * stored_length(lengths) / mean_length))
