"""Capacity: the largest rate of arrivals of which 99 % are good, found by steps up and then by halving."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.goodput import GOOD_SHARE, Goodput


@dataclass(frozen=True, slots=True)
class Step:
    """A steady rate that was offered for a while.

    Attributes:
        keeps_up: as much was worked off as arrived. All may be good while a queue grows that is still short enough.
    """

    rate: float
    goodput: Goodput
    keeps_up: bool = True

    @property
    def good_per_s(self) -> float:
        """Good replies, a second; no more than the rate, which by chance is passed in a short step."""
        return min(self.rate, self.goodput.good_per_s)

    @property
    def holds(self) -> bool:
        """Enough of it was good, and would be in a longer step."""
        return self.keeps_up and self.goodput.share is not None and self.goodput.share >= GOOD_SHARE


@dataclass(frozen=True, slots=True)
class Climb:
    """How a capacity is looked for.

    Attributes:
        start: arrivals a second of the first step.
        growth: from one step to the next, as long as they hold.
        closeness: ratio of the lowest rate that fails to the highest that holds, at which the search ends.
        arrivals: in a step, as far as its bounds in seconds let it.
        least_s: shorter, and a rate a little too high would end before its queue is long enough to be seen.
        most_steps: after which the search ends whatever it has found.
    """

    start: float = 4.0
    growth: float = 1.6
    closeness: float = 1.1
    arrivals: int = 1000
    least_s: float = 15.0
    most_s: float = 40.0
    least_rate: float = 0.25
    most_rate: float = 20_000.0
    most_steps: int = 24

    def seconds(self, rate: float) -> float:
        """How long a rate is offered."""
        return min(self.most_s, max(self.least_s, self.arrivals / rate))

    def next_rate(self, steps: Sequence[Step]) -> float | None:
        """What to offer after these steps; None where the search is over.

        A rate that fails is offered once more before it counts as too much: a neighbour on the machine may have
        taken its processor for a moment.
        """
        if not steps:
            return self.start
        if len(steps) >= self.most_steps:
            return None
        last = steps[-1]
        if not last.holds and not any(step.rate == last.rate for step in steps[:-1]):
            return last.rate
        return self._after(_highest_that_holds(steps), _lowest_that_fails(steps))

    def _after(self, holds: float | None, fails: float | None) -> float | None:
        if holds is None or fails is None:
            rate = holds * self.growth if holds else (fails or self.start) / self.growth
            return rate if self.least_rate <= rate <= self.most_rate else None
        return None if fails / holds <= self.closeness else math.sqrt(fails * holds)


# The probe in front of another profile: half of what it finds is offered, so it need not be close.
PROBE = Climb(start=5.0, growth=2.5, closeness=1.3, arrivals=200, least_s=8.0, most_s=15.0, most_steps=14)


def capacity(steps: Sequence[Step]) -> float:
    """Arrivals a second; 0 where no step held."""
    return _highest_that_holds(steps) or 0.0


def peak_good_per_s(steps: Sequence[Step]) -> float:
    """The most good replies a second of any step, whether it held or not."""
    return max((step.good_per_s for step in steps), default=0.0)


def _highest_that_holds(steps: Sequence[Step]) -> float | None:
    return max((step.rate for step in steps if step.holds), default=None)


def _lowest_that_fails(steps: Sequence[Step]) -> float | None:
    """Above the highest that holds: below it a failure was a moment's."""
    holds = _highest_that_holds(steps) or 0.0
    return min((step.rate for step in steps if not step.holds and step.rate > holds), default=None)
