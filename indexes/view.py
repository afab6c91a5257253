"""What a search works on: rows, their documents' attributes and the index over their prefix, swapped as one."""

from dataclasses import dataclass

import numpy as np

from indexes.attributes import Attributes
from indexes.base import Mask, Positions, RowIds
from indexes.curve import RecallCurve
from indexes.filters import Filter
from indexes.ivf_pq import IvfPqIndex
from indexes.placement import DeviceIndex
from indexes.rows import Rows, VisibleAt


@dataclass(frozen=True, slots=True)
class Sealed:
    """IVF-PQ over the rows at positions 0..index.size-1.

    Attributes:
        index: its ``params`` say how searches use it.
        curve: recall and cost of other settings, measured when it was trained.
        on_device: a copy that searches go to instead; None searches ``index`` itself.
    """

    index: IvfPqIndex
    curve: RecallCurve
    on_device: DeviceIndex | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A collection at one moment.

    Attributes:
        sealed: None while every row is searched exactly.
        version: last version whose changes are in it.
        since: oldest version it can be searched at: a rebuild drops the rows that were dead by then.
    """

    rows: Rows
    attributes: Attributes
    sealed: Sealed | None
    version: int
    since: int = 0

    def visible(self, version: int, filter: Filter | None = None) -> VisibleAt:
        """Which rows a search at ``version`` may return, of documents that the filter keeps."""
        size = self.rows.size  # before the attributes, which hold every document that these rows are of
        kept = None if filter is None else self.attributes.mask(filter, self.attributes.size)
        return self.rows.visible(size, version, kept)

    def placed(self, ids: RowIds, visible: VisibleAt) -> tuple[Positions, Mask]:
        """``(len(ids),)`` each: positions, and which of them are visible; rows that came later are not."""
        positions, held = self.rows.found(ids)
        return positions, visible.at(np.where(held & (positions < visible.size), positions, -1))

    @property
    def sealed_rows(self) -> int:
        """Rows that IVF-PQ covers; the others are the tail, searched exactly."""
        return self.sealed.index.size if self.sealed else 0

    @property
    def tail_rows(self) -> int:
        """Rows that are searched exactly."""
        return self.rows.size - self.sealed_rows
