"""The rows of a collection by position, and the versions between which each is visible.

Every commit to a collection has a version. A row is visible to a search at version v when it was born at v or before
and died after v. A search that keeps one version therefore sees a document either before or after its replacement,
never both and never neither, and no lock is held while it runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from indexes.base import Mask, Metric, Positions, RowIds, Scores, Vectors
from indexes.errors import UnknownRowError
from indexes.exact import ExactRows, norms_of
from indexes.growable import GrowableArray

Versions = NDArray[np.int64]
Ordinals = NDArray[np.int64]
NEVER = np.iinfo(np.int64).max
# Norms of unit vectors differ by rounding, relative to the longest; scores that differ by so little are equal.
_ONE_LENGTH = 1e-6


@dataclass(frozen=True, slots=True)
class VisibleAt:
    """The rows that a search may return: alive at ``version``, and of a document that its filter keeps.

    Attributes:
        documents: ordinal of each row's document.
        kept: by ordinal, whether the filter keeps the document; None without a filter.
    """

    born: Versions
    died: Versions
    documents: Ordinals
    version: int
    kept: Mask | None = None

    @property
    def size(self) -> int:
        """Rows that are looked at, visible or not."""
        return len(self.born)

    def mask(self, start: int, stop: int) -> Mask:
        """``(stop - start,)``: of a run of positions."""
        alive = (self.born[start:stop] <= self.version) & (self.died[start:stop] > self.version)
        return self._of_kept(alive, self.documents[start:stop])

    def alive(self, positions: Positions) -> Mask:
        """The shape of ``positions``, whatever the filter says; -1 is never alive."""
        rows = np.maximum(positions, 0)
        return (positions >= 0) & (self.born[rows] <= self.version) & (self.died[rows] > self.version)

    def at(self, positions: Positions) -> Mask:
        """The shape of ``positions``; -1 is never visible."""
        return self._of_kept(self.alive(positions), self.documents[np.maximum(positions, 0)])

    def _of_kept(self, alive: Mask, documents: Ordinals) -> Mask:
        # Where no row is alive there may be no document either, that of a dead row included.
        return alive & self.kept[documents] if self.kept is not None and alive.any() else alive


class Rows:
    """Columns by position, appended to by one thread while others search. Row ids ascend and are never reused.

    Args:
        dimension: length of a vector.
        metric: for ``l2`` the norms are kept beside the vectors.
    """

    def __init__(self, dimension: int, metric: Metric, capacity: int = 256) -> None:
        self.dimension = dimension
        self.metric: Metric = metric
        self._ids: GrowableArray[np.int64] = GrowableArray(np.int64, capacity=capacity)
        self._documents: GrowableArray[np.int64] = GrowableArray(np.int64, capacity=capacity)
        self._born: GrowableArray[np.int64] = GrowableArray(np.int64, capacity=capacity)
        self._died: GrowableArray[np.int64] = GrowableArray(np.int64, capacity=capacity)
        self._norms: GrowableArray[np.float32] = GrowableArray(np.float32, capacity=capacity)
        self._vectors: GrowableArray[np.float32] = GrowableArray(np.float32, dimension, capacity)
        self.dead = 0
        self._shortest, self._longest = np.inf, 0.0  # norms of vectors by ip and l2

    @property
    def has_one_length(self) -> bool:
        """Every vector has about the same norm, so that every metric orders rows as the cosine does."""
        return self._longest - self._shortest <= _ONE_LENGTH * self._longest

    @property
    def size(self) -> int:
        """Rows held, dead ones counted."""
        return len(self._vectors)

    @property
    def live(self) -> int:
        """Rows that no commit has killed."""
        return self.size - self.dead

    def live_before(self, stop: int) -> int:
        """Rows at positions below ``stop`` that no commit has killed; for a moment too few while one kills others.

        Only what lies behind ``stop`` is looked at: that is the tail, which every search scans with its vectors, while
        the rows before it may be millions.
        """
        dead_behind = int(np.count_nonzero(self._died.view()[stop:] != NEVER))
        return stop - (self.dead - dead_behind)

    @property
    def last_id(self) -> int:
        """The highest row id; 0 where there is none."""
        return int(self._ids.view()[-1]) if self.size else 0

    @property
    def bytes(self) -> int:
        """Memory of all columns, without what growth keeps in reserve."""
        return sum(column.view().nbytes for column in self._columns())

    def ids(self, stop: int | None = None) -> RowIds:
        """``(stop,)``: the store's ids of the first rows."""
        return self._ids.view(stop)

    def documents(self, stop: int | None = None) -> Ordinals:
        """``(stop,)``: ordinals of the documents of the first rows."""
        return self._documents.view(stop)

    def vectors(self, stop: int | None = None) -> Vectors:
        """``(stop, dimension)``."""
        return self._vectors.view(stop)

    def exact(self, size: int) -> ExactRows:
        """The first ``size`` rows with what it takes to score them."""
        return ExactRows(self.vectors(size), self.metric, self._norms.view(size) if self.metric == "l2" else None)

    def append(self, ids: RowIds, documents: Ordinals, vectors: Vectors, version: int) -> None:
        """Add rows born at ``version``; ``ids`` ascend and are higher than every id here.

        Raises:
            MemoryError: nothing was added.
        """
        for column in self._columns():  # one that failed behind others would no longer be in step with them
            column.reserve(len(ids))
        norms = self._measured(vectors)
        self._ids.append(ids)
        self._documents.append(documents)
        self._born.append(np.full(len(ids), version, dtype=np.int64))
        self._died.append(np.full(len(ids), NEVER, dtype=np.int64))
        if self.metric == "l2":
            self._norms.append(norms)
        # The vectors last: their number is what a search goes by, so every row it counts has its other columns.
        self._vectors.append(vectors)

    def append_dead(self, ids: RowIds) -> None:
        """Add positions that nobody sees, for rows an index knows and the store has not."""
        nothing = np.zeros((len(ids), self.dimension), dtype=np.float32)
        first = self.size
        self.append(ids, np.zeros(len(ids), dtype=np.int64), nothing, 0)
        self._died.view()[first:] = 0
        self.dead += len(ids)

    def revive(self, ids: RowIds, documents: Ordinals, vectors: Vectors) -> None:
        """Fill positions that ``append_dead`` made; not while others read.

        Raises:
            UnknownRowError: an id has no position.
        """
        positions = np.searchsorted(self.ids(), ids)
        missing = ids[self.ids()[np.minimum(positions, max(0, self.size - 1))] != ids] if self.size else ids
        if len(missing):
            raise UnknownRowError(int(missing[0]))
        self._documents.view()[positions] = documents
        self._died.view()[positions] = NEVER
        self._vectors.view()[positions] = vectors
        norms = self._measured(vectors)
        if self.metric == "l2":
            self._norms.view()[positions] = norms
        self.dead -= len(ids)

    def found(self, ids: RowIds) -> tuple[Positions, Mask]:
        """``(len(ids),)`` each: positions, and whether there is one of that id. Where there is none, any position."""
        held = self.ids(self.size)
        if not len(held):
            return np.zeros(len(ids), dtype=np.int64), np.zeros(len(ids), dtype=bool)
        positions = np.minimum(np.searchsorted(held, ids), len(held) - 1)
        return positions, held[positions] == ids

    def living(self, ids: RowIds) -> RowIds:
        """Those of ``ids`` that are here, and that no commit has killed."""
        if not self.size:
            return ids[:0]
        positions, held = self.found(ids)
        alive: Mask = self._died.view()[positions] == NEVER
        return ids[held & alive]

    def kill(self, ids: Sequence[int], version: int) -> None:
        """End the life of those of ``ids`` that are here, as of ``version``."""
        positions, held = self.found(np.asarray(ids, dtype=np.int64))
        dying = positions[held]
        died = self._died.view()
        self.dead += int(np.count_nonzero(died[dying] == NEVER))
        died[dying] = np.minimum(died[dying], version)

    def visible(self, size: int, version: int, kept: Mask | None = None) -> VisibleAt:
        """Which of the first ``size`` rows a search at ``version`` may return."""
        return VisibleAt(
            self._born.view(size), self._died.view(size), self._documents.view(size), version=version, kept=kept
        )

    def _measured(self, vectors: Vectors) -> Scores:
        """``(n,)`` norms, none for cosine; the bounds know them before a search sees the vectors."""
        if self.metric == "cosine":
            return np.empty(0, dtype=np.float32)
        norms = norms_of(vectors)
        lengths = norms[norms > 0]  # the others stand for rows that are dead
        self._shortest = min(self._shortest, float(lengths.min(initial=np.inf)))
        self._longest = max(self._longest, float(lengths.max(initial=0)))
        return norms

    def _columns(self) -> tuple[GrowableArray[Any], ...]:
        return self._ids, self._documents, self._born, self._died, self._norms, self._vectors
