"""A rate of arrivals as it goes with time: phases, each from one rate to another in a straight line."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a run.

    Attributes:
        from_rate: arrivals a second at its start.
        to_rate: at its end.
    """

    name: str
    seconds: float
    from_rate: float
    to_rate: float

    @classmethod
    def steady(cls, name: str, seconds: float, rate: float) -> "Phase":
        """At one rate."""
        return cls(name, seconds, rate, rate)


@dataclass(frozen=True, slots=True)
class Span:
    """A phase as seconds of the run, its end left out."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    def has(self, at_s: float) -> bool:
        """Whether a second of the run lies in it."""
        return self.start <= at_s < self.end


@dataclass(frozen=True, slots=True)
class Shape:
    """Phases, one after the other."""

    phases: Sequence[Phase]

    @property
    def seconds(self) -> float:
        """Of all phases."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def peak(self) -> float:
        """The largest rate."""
        return max(max(phase.from_rate, phase.to_rate) for phase in self.phases)

    @property
    def expected(self) -> float:
        """Arrivals on average: the area below the rate."""
        return sum(phase.seconds * (phase.from_rate + phase.to_rate) / 2 for phase in self.phases)

    def span(self, name: str) -> Span:
        """Where the first phase of that name lies.

        Raises:
            KeyError: there is none.
        """
        ends = accumulate(phase.seconds for phase in self.phases)
        for phase, end in zip(self.phases, ends, strict=True):
            if phase.name == name:
                return Span(end - phase.seconds, end)
        raise KeyError(name)

    def rates(self, at_s: Seconds) -> Seconds:
        """Arrivals a second at these seconds, all within the run."""
        ends = np.array(list(accumulate(phase.seconds for phase in self.phases)))
        place = np.minimum(np.searchsorted(ends, at_s, side="right"), len(ends) - 1)
        lengths, first, last = np.array([(each.seconds, each.from_rate, each.to_rate) for each in self.phases]).T
        done = (at_s - (ends - lengths)[place]) / lengths[place]
        rates: Seconds = first[place] + done * (last - first)[place]
        return rates
