"""A run of rows with one index over it, and the versions between which each row is visible.

Every commit to a collection has a version. A row is visible to a search at version v when it was born at v or before
and died after v. A search that keeps one version therefore sees a document either before or after its replacement,
never both and never neither, and no lock is held while it runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Mask, Positions, RowIds, Scores, SearchParams, VectorIndex, Vectors
from indexes.flat import FlatIndex
from indexes.growable import GrowableArray
from indexes.ivf_pq import MIN_ROWS, IvfPqIndex

Versions = NDArray[np.int64]
NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class VisibleAt:
    """The rows of one segment that a search at ``version`` may return."""

    born: Versions
    died: Versions
    version: int

    def mask(self) -> Mask:
        """``(n,)``."""
        return (self.born <= self.version) & (self.died > self.version)

    def at(self, positions: Positions) -> Mask:
        """The shape of ``positions``; -1 is never visible."""
        present = (positions >= 0) & (positions < len(self.born))
        rows = np.where(present, positions, 0)
        return present & (self.born[rows] <= self.version) & (self.died[rows] > self.version)


class Segment:
    """Rows in the order of their ids. One thread writes (``append``, ``kill``) while others search."""

    def __init__(self, index: VectorIndex, row_ids: RowIds, born: Versions, died: Versions) -> None:
        self.index = index
        self._row_ids: GrowableArray[np.int64] = GrowableArray(np.int64)
        self._born: GrowableArray[np.int64] = GrowableArray(np.int64)
        self._died: GrowableArray[np.int64] = GrowableArray(np.int64)
        self._row_ids.append(row_ids)
        self._born.append(born)
        self._died.append(died)

    @classmethod
    def growing(cls, dimension: int) -> "Segment":
        """An empty segment over a flat index."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(FlatIndex(dimension), nothing, nothing, nothing)

    @property
    def rows(self) -> int:
        """Rows held, dead ones counted."""
        return len(self._row_ids)

    @property
    def is_sealable(self) -> bool:
        """Still exact, and large enough to train on."""
        return isinstance(self.index, FlatIndex) and self.rows >= MIN_ROWS

    @property
    def is_sealed(self) -> bool:
        """Searched by IVF-PQ."""
        return isinstance(self.index, IvfPqIndex)

    def live_rows(self) -> int:
        """Rows that no commit has killed yet."""
        return int(np.count_nonzero(self._died.view() == NEVER))

    def append(self, row_ids: RowIds, vectors: Vectors, version: int) -> None:
        """Add rows born at ``version``; ``row_ids`` are higher than every id here. Only while growing."""
        if not isinstance(self.index, FlatIndex):
            raise TypeError("rows can be added to a growing segment only")
        self._row_ids.append(row_ids)
        self._born.append(np.full(len(row_ids), version, dtype=np.int64))
        self._died.append(np.full(len(row_ids), NEVER, dtype=np.int64))
        # The index last: its size is what a search goes by, so every row it counts has its columns.
        self.index.append(vectors)

    def kill(self, row_ids: Sequence[int], version: int) -> None:
        """End the life of those of ``row_ids`` that are here, as of ``version``."""
        held = self._row_ids.view()
        wanted = np.asarray(row_ids, dtype=np.int64)
        positions = np.searchsorted(held, wanted)
        inside = positions < len(held)
        positions, wanted = positions[inside], wanted[inside]
        self._died.view()[positions[held[positions] == wanted]] = version

    def search(self, query: Vectors, version: int, params: SearchParams) -> tuple[Scores, RowIds]:
        """Scores and row ids of one query, best first, without padding."""
        size = self.index.size
        visible = VisibleAt(self._born.view(size), self._died.view(size), version)
        scores, positions = self.index.search(query[None, :], params.top_k, visible, params)
        found = positions[0] >= 0
        return scores[0][found], self._row_ids.view(size)[positions[0][found]]

    def sealed(self) -> tuple["Segment", Positions]:
        """An IVF-PQ copy of the rows that are alive now, and their positions here.

        Deaths after this call reach the copy by ``take_deaths``.
        """
        kept = np.flatnonzero(self._died.view() == NEVER).astype(np.int64)
        index: VectorIndex
        if len(kept) >= MIN_ROWS:
            index = IvfPqIndex.build(np.ascontiguousarray(self.index.vectors[kept]))
        else:
            index = FlatIndex(self.index.vectors.shape[1])
            index.append(self.index.vectors[kept])
        return Segment(index, self._row_ids.view()[kept], self._born.view()[kept], self._died.view()[kept]), kept

    def take_deaths(self, source: "Segment", kept: Positions) -> None:
        """Copy the deaths of ``source`` that happened while this copy of it was built."""
        self._died.view()[:] = source._died.view()[kept]

    def describe(self) -> dict[str, object]:
        """Rows and index, for the status page."""
        return {"rows": self.rows, "live_rows": self.live_rows(), **self.index.describe()}
