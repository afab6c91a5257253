"""Turns: what waits for a place, and who is next."""

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Turn(NamedTuple):
    """Whose turn it is: a caller's, with one of its lines."""

    caller: str
    line: str


class Turns(Generic[T]):
    """Those of one turn in their order; of several the one whose caller has least, then the one longest without."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Turn, deque[T]] = OrderedDict()

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def put(self, turn: Turn, item: T) -> None:
        """Wait for a turn."""
        self._waiting.setdefault(turn, deque()).append(item)

    def take(self, may: Callable[[T], bool], has: Callable[[str], int]) -> T | None:
        """The next of those that may; None where there is none.

        Args:
            has: how many of a caller's are under way.
        """
        for turn in self._in_order(has):
            item = next(filter(may, self._waiting[turn]), None)
            if item is not None:
                self._waiting.move_to_end(turn)
                self.remove(turn, item)
                return item
        return None

    def remove(self, turn: Turn, item: T) -> None:
        """It waits no more, if it did."""
        waiting = self._waiting.get(turn, deque())
        if item in waiting:
            waiting.remove(item)
        if not waiting:
            self._waiting.pop(turn, None)

    def _in_order(self, has: Callable[[str], int]) -> Iterable[Turn]:
        counts = {caller: has(caller) for caller in {turn.caller for turn in self._waiting}}
        return sorted(self._waiting, key=lambda turn: counts[turn.caller])
