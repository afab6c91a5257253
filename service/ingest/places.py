"""Places: who may be under way at a time, so that nobody has every place."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """What one asks a place for.

    Attributes:
        is_large: it may have its place for minutes.
    """

    caller: str
    is_large: bool


class Places:
    """So many at a time: one caller has all but ``kept`` of them at most, and so has all that is large.

    What is large of one caller leaves twice as many. Of a single place there is nothing to keep.
    """

    def __init__(self, total: int, kept: int = 1) -> None:
        self._total = total
        self._kept = kept
        self._held: dict[object, Claim] = {}

    def count(self, caller: str) -> int:
        """Places that a caller has."""
        return sum(held.caller == caller for held in self._held.values())

    def has_room(self, claim: Claim) -> bool:
        """Whether there is a place for that now."""
        if len(self._held) >= self._total or self.count(claim.caller) >= self._all_but(self._kept):
            return False
        large = [held for held in self._held.values() if held.is_large]
        own = [held for held in large if held.caller == claim.caller]
        return not claim.is_large or (
            len(large) < self._all_but(self._kept) and len(own) < self._all_but(2 * self._kept)
        )

    def take(self, holder: object, claim: Claim) -> None:
        """Where there is room."""
        self._held[holder] = claim

    def give_back(self, holder: object) -> None:
        """The holder's place is free."""
        del self._held[holder]

    def _all_but(self, kept: int) -> int:
        return max(1, self._total - kept)
