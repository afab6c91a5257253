"""Backlog: requests that have arrived and not ended. Where it goes on growing, more arrives than is worked off."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from loadtests.sample import Sample
from loadtests.shape import Span

# Of what arrives: a queue that grows by less is one that a longer step would show as well.
_GROWTH_SHARE = 0.03
# A backlog that stays has about the variance of its size, as it would if requests met one by chance.
_DEVIATIONS = 2.0


@dataclass(frozen=True, slots=True)
class Backlog:
    """Of a span at one rate.

    Attributes:
        middle, end: requests under way at these moments.
        arrived: from the middle to the end.
    """

    middle: int
    end: int
    arrived: int

    @classmethod
    def of(cls, samples: Sequence[Sample], span: Span) -> "Backlog":
        """Of the samples of a run; one that was not started is not waited for."""
        middle_s = (span.start + span.end) / 2
        ends = [(sample.at_s, sample.ended_s) for sample in samples if sample.ended_s is not None]

        def under_way(at_s: float) -> int:
            return sum(came_s < at_s <= ended_s for came_s, ended_s in ends)

        arrived = sum(middle_s <= came_s < span.end for came_s, _ in ends)
        return cls(under_way(middle_s), under_way(span.end), arrived)

    @property
    def grows(self) -> bool:
        """By more than chance makes it go up and down."""
        return self.end - self.middle > _GROWTH_SHARE * self.arrived + _DEVIATIONS * sqrt(self.middle)
