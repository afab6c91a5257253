"""Dispatch: each arrival is started at its time, or counted as missed; it never waits for another one's reply."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from loadtests.arrivals import Arrival


class Clock(Protocol):
    """Time of the run."""

    def now_s(self) -> float:
        """Seconds since it began."""

    def sleep(self, seconds: float) -> None:
        """Let others run until then."""


class Places(Protocol):
    """A bounded number of requests at once."""

    def take(self, within_s: float) -> bool:
        """Whether one was free, or came free within that time."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """How arrivals become requests.

    Args:
        start: begins a request for which a place was taken, and returns at once.
        miss: is told of an arrival that had no place, or whose time was over.
        late_s: an arrival that cannot start by then is missed.
    """

    clock: Clock
    places: Places
    start: Callable[[Arrival], None]
    miss: Callable[[Arrival, str], None]
    late_s: float

    def run(self, arrivals: Iterable[Arrival]) -> None:
        """Return when all arrivals have been started or missed; requests may still be under way."""
        for arrival in arrivals:
            early_s = arrival.at_s - self.clock.now_s()
            if early_s > 0:
                self.clock.sleep(early_s)
            left_s = arrival.at_s + self.late_s - self.clock.now_s()
            if left_s <= 0:
                self.miss(arrival, "late")
            elif self.places.take(left_s):
                self.start(arrival)
            else:
                self.miss(arrival, "busy")
