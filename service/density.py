"""Density: how many values a text of JSON has, before it is parsed.

What parses JSON holds the interpreter until it is done, and every request with it. Text is read in no time; it is the
number of values that takes long.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from service.errors import InvalidRequestError

SHORT_BYTES = 64 * 1024
"""So little is parsed in a millisecond or two, whatever it holds."""

# Parsed in some 50 ms on one core of a small machine.
_MOST_VALUES = 1_000_000
_MOST_CONTAINERS = 100_000

_BLOCK_BYTES = 1 << 20
_QUOTE, _BACKSLASH = b'"\\'
_VALUE = b","
_CONTAINER = b"[{:"


def refuse_dense(raw: bytes) -> None:
    """Refuse what would take long to parse. Takes memory of its own for a piece of it only; for a thread.

    Raises:
        InvalidRequestError: it has more values, or more lists, objects and members of these, than are read.
    """
    if len(raw) <= SHORT_BYTES or not _may_be_dense(raw):
        return
    values = containers = 0
    for more_values, more_containers in counted(raw):
        values += more_values
        containers += more_containers
        if values >= _MOST_VALUES or containers > _MOST_CONTAINERS:
            raise InvalidRequestError(
                f"the body has more than {_MOST_VALUES} values, or more than {_MOST_CONTAINERS} lists, objects and "
                "members of objects: so many are not read"
            )


def counted(raw: bytes) -> Iterator[tuple[int, int]]:
    """Commas outside of strings, and brackets, braces and colons, of one piece of the text after the other."""
    outside = _Outside()
    for start in range(0, len(raw), _BLOCK_BYTES):
        block = outside.strings_of(np.frombuffer(raw, np.uint8, min(_BLOCK_BYTES, len(raw) - start), start))
        yield _count(block, _VALUE), _count(block, _CONTAINER)


def _may_be_dense(raw: bytes) -> bool:
    """Were there no strings; most bodies are not even then."""
    values = raw.count(_VALUE)
    return values >= _MOST_VALUES or sum(raw.count(bytes([one])) for one in _CONTAINER) > _MOST_CONTAINERS


class _Outside:
    """Takes the strings out of a text that comes in blocks."""

    def __init__(self) -> None:
        self._in_string = False
        self._escapes = False  # the block before ended in a backslash that escapes what follows

    def strings_of(self, block: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The bytes of the block that are outside of strings, and the quotes that end one."""
        quotes = (block == _QUOTE) & ~self._escaped(block)
        inside = np.bitwise_xor.accumulate(np.concatenate(([self._in_string], quotes)))[1:]
        self._in_string = bool(inside[-1])
        return block[~inside]

    def _escaped(self, block: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """What follows an odd number of backslashes."""
        places = np.arange(len(block))
        before = -2 if self._escapes else -1  # a backslash in front of the block, or none
        others = np.maximum.accumulate(np.where(block != _BACKSLASH, places, before))
        odd = (places - others) % 2 == 1  # as many backslashes end here
        escaped = np.concatenate(([self._escapes], odd[:-1]))
        self._escapes = bool(odd[-1])
        return escaped


def _count(block: npt.NDArray[np.uint8], wanted: bytes) -> int:
    return int(np.isin(block, np.frombuffer(wanted, np.uint8)).sum())
