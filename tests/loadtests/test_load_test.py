"""The story of a load test, on a simulated server whose capacity is known."""

from collections.abc import Sequence

import pytest

pytest.importorskip("scipy", reason="the loadtest extra is not installed")

from loadtests.arrivals import drawn
from loadtests.budgets import DEFAULT, Budgets
from loadtests.capacity import Climb
from loadtests.load_test import LoadTest, NoCapacityError, Request
from loadtests.measured import Measured, Run
from loadtests.profile import Profile
from loadtests.reading import Reading
from loadtests.route import MIXES
from loadtests.sample import Outcome, Sample
from loadtests.shape import Shape
from loadtests.verdict import Verdict

BUDGETS = Budgets.read(DEFAULT)
QUICK = Climb(arrivals=400, least_s=5.0, most_s=20.0)


class Simulated:
    """Serves one request after the other, each in ``1 / capacity`` seconds.

    Args:
        patience_s: it sheds what would wait longer; None lets everything wait.
    """

    def __init__(self, capacity: float, patience_s: float | None = 0.5, mix: str = "search") -> None:
        self._mix = mix
        self._service_s = 1 / capacity
        self._patience_s = patience_s
        self.shapes: dict[str, Shape] = {}

    def run(self, name: str, shape: Shape, seed: int) -> Run:
        self.shapes[name] = shape
        readings = tuple(Reading(at, resident_bytes=1e9, descriptors=40, threads=20) for at in range(60))
        return Run(shape, self._samples(shape, seed), readings, 0.1)

    def _samples(self, shape: Shape, seed: int) -> Sequence[Sample]:
        samples, free_s = [], 0.0
        for each in drawn(shape, MIXES[self._mix], seed):
            start_s = max(each.at_s, free_s)
            if self._patience_s is not None and start_s - each.at_s > self._patience_s:
                outcome, end_s = Outcome.SHED, each.at_s
            else:
                outcome, end_s = Outcome.OK, start_s + self._service_s
                free_s = end_s
            samples.append(Sample(each.number, each.route, each.at_s, outcome, each.at_s, None, end_s))
        return samples


def outcome_of(server: Simulated, profile: Profile, seconds: float | None = None) -> tuple[Measured, Verdict]:
    test = LoadTest(server, BUDGETS, lambda text: None)
    measured = test.run(Request(profile, seed=3, seconds=seconds, climb=QUICK))
    return measured, test.verdict(measured)[1]


def test_half_of_the_capacity_is_offered_and_kept() -> None:
    server = Simulated(50)
    measured, verdict = outcome_of(server, Profile.STEADY)
    assert measured.capacity == pytest.approx(50, rel=0.25)
    (phase,) = measured.run.shape.phases
    assert (phase.from_rate, phase.seconds) == (measured.capacity / 2, 120)
    assert verdict.passed, str(verdict)


def test_three_times_the_capacity_is_offered_and_recovered_from() -> None:
    measured, verdict = outcome_of(Simulated(50), Profile.OVERLOAD)
    assert measured.run.shape.span("overload").seconds == 120
    assert measured.run.shape.peak == pytest.approx(3 * measured.capacity)
    assert verdict.passed, str(verdict)


def test_a_server_that_collapses_under_overload_fails() -> None:
    _, verdict = outcome_of(Simulated(50, patience_s=None), Profile.OVERLOAD)
    assert [check.name for check in verdict.checks if not check.met] == ["goodput_of_peak", "recovery_s"]


class DisturbedSearch(Simulated):
    """Somebody else has the machine for as long as the capacity is looked for."""

    def run(self, name: str, shape: Shape, seed: int) -> Run:
        server = self if name == "overload" else Simulated(5)
        return Simulated.run(server, name, shape, seed)


def test_an_overload_that_was_none_is_no_pass() -> None:
    _, verdict = outcome_of(DisturbedSearch(50), Profile.OVERLOAD)
    assert [check.name for check in verdict.checks if not check.met] == ["found_share"]


def test_the_capacity_is_the_highest_step_that_holds_and_comes_with_its_curve() -> None:
    server = Simulated(50)
    measured, verdict = outcome_of(server, Profile.CAPACITY)
    assert measured.capacity == max(step.rate for step in measured.steps if step.holds)
    assert measured.run.shape.peak == measured.capacity
    assert any(step.goodput.share < 0.9 for step in measured.steps), "the curve shows what is beyond"
    assert verdict.passed, str(verdict)


@pytest.mark.parametrize("mix", ["search", "query", "ingest"])
def test_a_rate_is_not_held_where_the_queue_still_grows_as_the_step_ends(mix: str) -> None:
    measured, _ = outcome_of(Simulated(50, patience_s=None, mix=mix), Profile.CAPACITY)
    assert 50 / 1.2 <= measured.capacity <= 50 * 1.05
    assert any(not step.keeps_up for step in measured.steps)


def test_a_rate_that_is_given_is_offered_without_a_search() -> None:
    server = Simulated(50)
    LoadTest(server, BUDGETS, lambda text: None).run(Request(Profile.OVERLOAD, seed=3, rate=10, seconds=12))
    (shape,) = server.shapes.values()
    assert [phase.from_rate for phase in shape.phases] == [10, 60, 10]


def test_without_a_capacity_there_is_nothing_to_offer() -> None:
    with pytest.raises(NoCapacityError, match="arrivals a second held"):
        outcome_of(Simulated(0.001), Profile.STEADY)


@pytest.mark.parametrize("profile", [Profile.RAMP, Profile.SPIKE, Profile.SOAK])
def test_every_other_profile_runs(profile: Profile) -> None:
    measured, _ = outcome_of(Simulated(50), profile, seconds=60)
    assert measured.run.shape.seconds == 60
    assert len(measured.run.samples) == pytest.approx(measured.run.shape.expected, rel=0.3)
