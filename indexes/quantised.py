"""Unit vectors in one byte for each component."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from indexes.base import Scores, Vectors

_GREATEST_CODE = 127


@dataclass(frozen=True, slots=True)
class Quantised:
    """Quantisation is symmetric and by vector: a code ``q`` stands for ``scale * q``.

    The scale is the greatest component over 127, so that a component moves by half a scale at most, and a cosine of 384
    components by about 0.001.

    Attributes:
        scales: ``(n,)`` float32.
        codes: ``(n, dimension)`` int8.
    """

    scales: NDArray[np.float32]
    codes: NDArray[np.int8]

    @classmethod
    def of(cls, vectors: Vectors) -> Self:
        """Of ``(n, dimension)`` vectors of any length; one that is all zeros stays so."""
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        units = vectors / np.where(norms > 0, norms, 1)
        scales = np.abs(units).max(axis=1, initial=0) / _GREATEST_CODE
        codes = np.rint(units / np.where(scales > 0, scales, 1)[:, None])
        return cls(scales.astype(np.float32), codes.astype(np.int8))

    @classmethod
    def joined(cls, parts: Sequence["Quantised"], dimension: int) -> Self:
        """All of them, in their order."""
        scales = [np.empty(0, dtype=np.float32), *(part.scales for part in parts)]
        codes = [np.empty((0, dimension), dtype=np.int8), *(part.codes for part in parts)]
        return cls(np.concatenate(scales), np.concatenate(codes))

    def __len__(self) -> int:
        return len(self.scales)

    def some(self, places: Sequence[int]) -> "Quantised":
        """Those at these places."""
        chosen = np.array(places, dtype=np.int64)
        return Quantised(self.scales[chosen], self.codes[chosen])

    def cosines(self, query: Vectors) -> Scores:
        """``(n,)``: of each with a ``(dimension,)`` vector; 0 with one that is all zeros."""
        norm = float(np.linalg.norm(query))
        scores: Scores = (self.codes.astype(np.float32) @ query) * self.scales / (norm or 1.0)
        return scores
