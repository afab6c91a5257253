"""A NumPy array that grows at its end while other threads read it."""

from typing import Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


class GrowableArray(Generic[Scalar]):
    """Appends in amortised constant time; one writer, any number of readers.

    A reader takes ``view(size)`` with a size it got earlier: rows below it are never moved or rewritten by an append,
    because growth copies into a new buffer and leaves the old one to those who hold it.

    Args:
        dtype: element type.
        width: row length; None makes a one-dimensional array.
    """

    def __init__(self, dtype: DTypeLike, width: int | None = None, capacity: int = 256) -> None:
        self._tail = () if width is None else (width,)
        self._buffer: NDArray[Scalar] = np.empty((capacity, *self._tail), dtype=dtype)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def reserve(self, count: int) -> None:
        """Make room for ``count`` rows more: the part of an append that may fail.

        Raises:
            MemoryError: there is none.
        """
        needed = self._size + count
        if needed > len(self._buffer):
            capacity = max(needed, 2 * len(self._buffer))
            grown: NDArray[Scalar] = np.empty((capacity, *self._tail), dtype=self._buffer.dtype)
            grown[: self._size] = self._buffer[: self._size]
            self._buffer = grown

    def append(self, rows: NDArray[Scalar]) -> None:
        """Add ``rows`` at the end."""
        needed = self._size + len(rows)
        self.reserve(len(rows))
        self._buffer[self._size : needed] = rows
        self._size = needed

    def view(self, size: int | None = None) -> NDArray[Scalar]:
        """The first ``size`` rows, all of them by default. Writing to it writes to the array."""
        return self._buffer[: self._size if size is None else size]
