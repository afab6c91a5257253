"""Measured: a run that is over, with all that was recorded of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.capacity import Step, capacity, peak_good_per_s
from loadtests.profile import Profile
from loadtests.reading import Reading
from loadtests.sample import Sample
from loadtests.shape import Shape


@dataclass(frozen=True, slots=True)
class Run:
    """One shape that was offered.

    Attributes:
        samples: one of each arrival, whatever became of it.
        driver_cpu_s: processor time of the driver, which shares the machine with a local server.
    """

    shape: Shape
    samples: Sequence[Sample]
    readings: Sequence[Reading]
    driver_cpu_s: float


@dataclass(frozen=True, slots=True)
class Measured:
    """A load test.

    Attributes:
        run: what it is about; of the search for the capacity, the highest step that held.
        steps: of the search; empty where a rate was given.
    """

    profile: Profile
    run: Run
    steps: Sequence[Step]

    @property
    def capacity(self) -> float | None:
        """Arrivals a second; None where it was not looked for."""
        return capacity(self.steps) if self.steps else None

    @property
    def peak_good_per_s(self) -> float | None:
        """None where the capacity was not looked for."""
        return peak_good_per_s(self.steps) if self.steps else None
