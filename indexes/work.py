"""Work that takes long enough to be watched."""

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int, int], None]  # done, of


@dataclass(frozen=True, slots=True)
class Work:
    """What is being done, and how far it is.

    Attributes:
        done: rows that were read.
        total: rows that were there when it began; 0 while that is not known, or means nothing.
    """

    what: str
    done: int = 0
    total: int = 0
