"""Postings: the rows that have a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from indexes.base import Mask, RowIds
from indexes.generation import NO_ROWS


@dataclass(frozen=True, slots=True)
class Postings:
    """Of one word or of several, in no order.

    Attributes:
        rows: ``(n,)``; of one word each once.
        counts: ``(n,)`` how often the word is there.
        lengths: ``(n,)`` of the texts in words.
    """

    rows: RowIds
    counts: RowIds
    lengths: RowIds

    @classmethod
    def none(cls) -> Self:
        """Of a word that no row has."""
        return cls(NO_ROWS, NO_ROWS, NO_ROWS)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All of them, one after the other."""
        columns = zip(*((part.rows, part.counts, part.lengths) for part in parts), strict=True)
        return cls(*(np.concatenate(each) for each in columns)) if parts else cls.none()

    def of(self, kept: Mask) -> Self:
        """Those that ``(n,)`` ``kept`` names."""
        return type(self)(self.rows[kept], self.counts[kept], self.lengths[kept])
