"""Attributes: the metadata of documents as bitmaps, to answer filters without reading a document."""

import threading
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from cachetools import LRUCache
from pyroaring import BitMap

from indexes.base import Mask
from indexes.column import Column
from indexes.filters import Comparison, Compound, Filter, Kind, held

_CACHED_MASKS = 8


class Attributes:
    """Metadata by ordinal, append-only; the fast twin of ``filters.matches``.

    One thread appends while others read. What is known of the first ``size`` documents never changes, so a reader that
    took a size is answered for exactly those, whatever is appended meanwhile.
    """

    def __init__(self) -> None:
        self._size = 0
        self._columns: dict[tuple[str, Kind], Column] = {}
        self._masks: LRUCache[Filter, Mask] = LRUCache(_CACHED_MASKS)
        self._masks_lock = threading.Lock()

    @property
    def size(self) -> int:
        """Documents appended."""
        return self._size

    def append(self, metadata: Mapping[str, Any]) -> int:
        """Add a document.

        Returns:
            Its ordinal: the number of documents before it.
        """
        ordinal = self._size
        try:
            for key in metadata:
                for kind, value in set(held(metadata, key)):
                    column = self._columns.get((key, kind))
                    if column is None:
                        column = self._columns[key, kind] = Column()
                    column.add(value, ordinal)
        finally:
            # Last, as a reader takes the size before it looks; and even when memory ran out half-way, or the next
            # document would be taken to hold what this one did.
            self._size = ordinal + 1
        return ordinal

    def select(self, filter: Filter, size: int | None = None) -> BitMap:
        """Ordinals that pass among the first ``size`` documents, all by default; the caller's own.

        Raises:
            ValueError: there are fewer than ``size`` documents.
        """
        everything = self._size
        size = everything if size is None else size
        if size > everything:
            raise ValueError(f"{size} documents were asked for; there are {everything}")
        return self._select(filter, BitMap(range(size)))

    def mask(self, filter: Filter, size: int) -> Mask:
        """``(size,)``: which of the first ``size`` documents pass. Read-only, as others may be given it too.

        Raises:
            ValueError: there are fewer than ``size`` documents.
        """
        with self._masks_lock:
            known = self._masks.get(filter)
        if known is None or len(known) < size:
            known = _mask(self.select(filter, size), size)
            with self._masks_lock:
                self._masks[filter] = known
        return known[:size]

    def _select(self, filter: Filter, everything: BitMap) -> BitMap:
        if isinstance(filter, Compound):
            parts = [self._select(part, everything) for part in filter.filters]
            return BitMap.intersection(*parts) if filter.type == "and" else BitMap.union(*parts)
        found = self._holding(filter)
        return everything - found if filter.is_negated else everything & found

    def _holding(self, comparison: Comparison) -> BitMap:
        """Ordinals of documents that hold what is compared with; also of those appended meanwhile."""
        if comparison.type in {"gt", "gte", "lt", "lte"}:
            column = self._columns.get((comparison.key, cast(Kind, comparison.kinds[0])))
            return column.ordered(comparison.type, comparison.values[0]) if column else BitMap()
        found = BitMap()
        for kind in set(comparison.kinds):
            column = self._columns.get((comparison.key, cast(Kind, kind)))
            if column:
                pairs = zip(comparison.kinds, comparison.values, strict=True)
                found |= column.holding(value for its_kind, value in pairs if its_kind == kind)
        return found


def _mask(selected: BitMap, size: int) -> Mask:
    """Writes the rarer of the two truth values one by one."""
    common = 2 * len(selected) > size
    mask = np.full(size, common)
    rare = selected.flip(0, size) if common else selected
    mask[np.frombuffer(rare.to_array(), dtype=np.uint32)] = not common
    mask.setflags(write=False)
    return mask
