"""Watermarks: how full memory may become before bulk work pauses, and before fewer queries may wait. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

# How far below a mark memory must fall again, as a share of the limit: what one step of ingest takes and gives back
# is less, so that a level lasts longer than a step.
_SLACK = 0.02


class Level(IntEnum):
    """How full a device's memory is."""

    CLEAR = 0
    LOW = 1
    HIGH = 2


@dataclass(frozen=True, slots=True)
class Filling:
    """How much of a device's memory is taken.

    Attributes:
        used: bytes; on the host by whoever, on a card by this process.
        limit: of them there are; on a card for this process, what others hold not counted.
    """

    device: str
    used: int
    limit: int

    @property
    def share(self) -> float:
        """Of the limit, 0 to 1; more where the limit was lowered."""
        return self.used / self.limit


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Shares of the limit, ``low`` not above ``high``. From 1 on a mark is off: nothing would be left to act by."""

    low: float
    high: float

    def level(self, share: float, before: Level) -> Level:
        """The level at this share, after another: a mark that was reached is left ``_SLACK`` below it."""
        if self._is_above(self.high, share, is_held=before is Level.HIGH):
            return Level.HIGH
        return Level.LOW if self._is_above(self.low, share, is_held=before is not Level.CLEAR) else Level.CLEAR

    def levels(self, fillings: Sequence[Filling], before: Mapping[str, Level]) -> dict[str, Level]:
        """By device; one that is not told of any more has none."""
        return {
            filling.device: self.level(filling.share, before.get(filling.device, Level.CLEAR)) for filling in fillings
        }

    def _is_above(self, mark: float, share: float, *, is_held: bool) -> bool:
        return mark < 1 and share >= mark - (_SLACK if is_held else 0.0)
