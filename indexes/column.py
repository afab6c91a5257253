"""What the documents hold under one key, of one kind: which of them hold a value, and which hold one in a range."""

import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from indexes.filters import ORDERS, OrderType, Scalar

Ordinals = NDArray[np.uint32]

# Entries that are compared one by one after the sorted ones; more are worth sorting once they are a sixteenth of all.
_FEW_ENTRIES = 1024
# Up to so many values a union of their bitmaps beats sorting ordinals; also where most documents share few values.
_FEW_VALUES = 256


@dataclass(frozen=True, slots=True)
class Sorted:
    """The first entries of a column, by value.

    Attributes:
        size: entries.
        values: distinct, ascending.
        starts: ``(len(values) + 1,)``: those of ``values[i]`` are ``ordinals[starts[i]:starts[i + 1]]``.
        ordinals: ``(size,)``.
    """

    size: int
    values: list[Scalar]
    starts: NDArray[np.int64]
    ordinals: Ordinals

    @classmethod
    def of(cls, values: Sequence[Scalar], numbers: Ordinals, ordinals: Ordinals) -> Self:
        """Sort entries given as ``values[number]`` and ordinal."""
        order = sorted(range(len(values)), key=values.__getitem__)
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        ranks = rank[numbers]
        starts = np.zeros(len(order) + 1, dtype=np.int64)
        np.cumsum(np.bincount(ranks, minlength=len(order)), out=starts[1:])
        by_rank = np.argsort(ranks, kind="stable")
        return cls(len(ranks), [values[i] for i in order], starts, ordinals[by_rank])

    def span(self, order: OrderType, bound: Scalar) -> slice:
        """Where in ``values`` those are that compare so with ``bound``."""
        match order:
            case "gt":
                return slice(bisect_right(self.values, bound), len(self.values))
            case "gte":
                return slice(bisect_left(self.values, bound), len(self.values))
            case "lt":
                return slice(0, bisect_left(self.values, bound))
        return slice(0, bisect_right(self.values, bound))


class Column:
    """Ordinals by value; scalars of one kind only, so that all compare with each other.

    One thread adds while others read: an entry that was added before a read began is in what it returns.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()  # a bitmap must not be read while it is added to
        self._sorting = threading.Lock()
        self._numbers: dict[Scalar, int] = {}
        self._values: list[Scalar] = []
        # One ordinal is kept as itself: most values of a column of names or times have only one.
        self._holders: list[BitMap | int] = []
        self._entries = array("I"), array("I")
        self._sorted = Sorted(0, [], np.zeros(1, dtype=np.int64), np.empty(0, dtype=np.uint32))

    def add(self, value: Scalar, ordinal: int) -> None:
        """Note that a document holds ``value``; once for each value of a document."""
        with self._lock:
            number = self._numbers.setdefault(value, len(self._values))
            if number == len(self._values):
                self._values.append(value)
                self._holders.append(ordinal)
            else:
                holders = self._holders[number]
                if isinstance(holders, int):
                    self._holders[number] = BitMap((holders, ordinal))
                else:
                    holders.add(ordinal)
            numbers, ordinals = self._entries
            numbers.append(number)
            ordinals.append(ordinal)

    def holding(self, values: Iterable[Scalar]) -> BitMap:
        """Documents that hold any of ``values``."""
        with self._lock:
            numbers = [number for number in map(self._numbers.get, values) if number is not None]
            found = [self._holders[number] for number in numbers]
            bitmaps = [holders for holders in found if not isinstance(holders, int)]
            singles = BitMap([holders for holders in found if isinstance(holders, int)])
            return singles.union(*bitmaps)

    def ordered(self, order: OrderType, bound: Scalar) -> BitMap:
        """Documents that hold a value that compares so with ``bound``."""
        known = self._sorted_now()
        span = known.span(order, bound)
        if span.stop - span.start <= _FEW_VALUES:
            found = self.holding(known.values[span])
        else:
            found = _bitmap(known.ordinals[known.starts[span.start] : known.starts[span.stop]])
        compare = ORDERS[order]
        numbers, ordinals = self._entries_from(known.size)
        found.update(o for n, o in zip(numbers, ordinals, strict=True) if compare(self._values[n], bound))
        return found

    def _entries_from(self, first: int) -> tuple["array[int]", "array[int]"]:
        """Numbers of values, and ordinals, of the entries from ``first`` on: copies, as what grows may move."""
        with self._lock:
            numbers, ordinals = self._entries
            return numbers[first:], ordinals[first:]

    def _sorted_now(self) -> Sorted:
        """The sorted entries, with few behind them that are not; made here, so a column nobody orders costs nothing."""
        # While one thread sorts anew the others go on with what was sorted before and compare a few more by one.
        if not self._is_fresh() and self._sorting.acquire(blocking=self._sorted.size == 0):
            try:
                if not self._is_fresh():  # it may have been sorted while this thread waited
                    self._sort()
            finally:
                self._sorting.release()
        return self._sorted

    def _sort(self) -> None:
        numbers, ordinals = (np.frombuffer(entries, dtype=np.uint32) for entries in self._entries_from(0))
        self._sorted = Sorted.of(self._values[: int(numbers.max()) + 1], numbers, ordinals)

    def _is_fresh(self) -> bool:
        size = self._sorted.size
        return len(self._entries[1]) - size <= max(_FEW_ENTRIES, size // 16)


def _bitmap(ordinals: Ordinals) -> BitMap:
    """Far quicker than from a NumPy array, which pyroaring reads number by number."""
    return BitMap(array("I", np.sort(ordinals).tobytes()))
