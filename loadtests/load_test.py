"""The story of one load test: find the capacity, offer what the profile says, and hold it to the budgets."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from loadtests.backlog import Backlog
from loadtests.budgets import Budgets
from loadtests.capacity import PROBE, Climb, Step, capacity
from loadtests.figures import Figures
from loadtests.goodput import Goodput
from loadtests.measured import Measured, Run
from loadtests.profile import Course, Profile
from loadtests.shape import Phase, Shape, Span
from loadtests.verdict import Verdict

_STEP = "step"
_WARM_UP_S = 5.0

Say = Callable[[str], None]


class NoCapacityError(Exception):
    """No rate that was offered held, so there is nothing to offer half of."""


class Offers(Protocol):
    """Who offers shapes: the driver."""

    def run(self, name: str, shape: Shape, seed: int) -> Run:
        """Offer one."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        rate: offered first, in arrivals a second; None looks for the capacity and takes the profile's share of it.
        seconds: of the main phase; None takes the profile's own.
        climb: how the capacity is looked for; None takes that of the profile.
    """

    profile: Profile
    seed: int
    rate: float | None = None
    seconds: float | None = None
    climb: Climb | None = None


class LoadTest:
    """Offers, measures and judges.

    Args:
        say: where progress goes.
    """

    def __init__(self, driver: Offers, budgets: Budgets, say: Say) -> None:
        self._driver = driver
        self._budgets = budgets
        self._say = say

    def run(self, request: Request) -> Measured:
        """All of it.

        Raises:
            NoCapacityError: no rate held.
            DriverError: a run failed.
        """
        course = request.profile.course
        if course is None:
            return self._capacity(request)
        if request.rate is not None:
            return self._of_course(request, course, [], request.rate / course.base)
        steps, _ = self._climbed(request.climb or PROBE, request.seed)
        if not (found := capacity(steps)):
            raise NoCapacityError(f"none of {', '.join(f'{step.rate:.3g}' for step in steps)} arrivals a second held")
        self._say(f"capacity {found:.1f}/s")
        return self._of_course(request, course, steps, found)

    def verdict(self, measured: Measured) -> tuple[Figures, Verdict]:
        """What it comes to, and whether that keeps the budgets."""
        figures = Figures.of(measured, self._budgets.objectives)
        checks = self._budgets.profiles[measured.profile].checks(figures)
        return figures, Verdict(measured.profile, checks)

    def _of_course(self, request: Request, course: Course, steps: list[Step], found: float) -> Measured:
        shape = course.shape(request.seconds or course.seconds, found)
        self._say(f"{request.profile}: {shape.seconds:.0f} s, about {shape.expected:.0f} arrivals")
        return Measured(request.profile, self._driver.run(request.profile, shape, request.seed), steps)

    def _capacity(self, request: Request) -> Measured:
        """The run is that of the step that decided it."""
        steps, runs = self._climbed(request.climb or Climb(), request.seed)
        holding = [(step.rate, place) for place, step in enumerate(steps) if step.holds]
        return Measured(request.profile, runs[max(holding)[1] if holding else -1], steps)

    def _climbed(self, climb: Climb, seed: int) -> tuple[list[Step], list[Run]]:
        """Every step has a seed of its own, or all of them would have their bursts at the same places."""
        self._driver.run("warm-up", Shape((Phase.steady(_STEP, _WARM_UP_S, climb.start),)), seed)
        steps: list[Step] = []
        runs: list[Run] = []
        while (rate := climb.next_rate(steps)) is not None:
            shape = Shape((Phase.steady(_STEP, climb.seconds(rate), rate),))
            run = self._driver.run(f"{_STEP}-{len(steps):02}", shape, seed + 1 + len(steps))
            span = Span(0.0, shape.seconds)
            goodput = Goodput.of(run.samples, self._budgets.objectives, span)
            steps.append(Step(rate, goodput, keeps_up=not Backlog.of(run.samples, span).grows))
            runs.append(run)
            queued = "" if steps[-1].keeps_up else ", a queue that grows"
            share = "nothing offered" if goodput.share is None else f"goodput {goodput.share:.1%}"
            self._say(f"{rate:.1f}/s for {shape.seconds:.0f} s: {share}, {steps[-1].good_per_s:.1f} good/s{queued}")
        return steps, runs
