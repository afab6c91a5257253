"""What counts as good, what does not, and what it comes to."""

from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="the loadtest extra is not installed")

from loadtests.budgets import DEFAULT, Budgets
from loadtests.capacity import Climb, Step, capacity, peak_good_per_s
from loadtests.figures import Figures
from loadtests.goodput import Goodput, by_second
from loadtests.measured import Measured, Run
from loadtests.objective import Objective
from loadtests.profile import Profile
from loadtests.reading import Reading
from loadtests.recovery import recovery_s
from loadtests.route import Route
from loadtests.sample import Outcome, Sample, read, write
from loadtests.shape import Phase, Shape, Span
from loadtests.slope import Slope

OBJECTIVES = {route: Objective(total_ms=1000, ttft_ms=500 if route.is_streamed else None) for route in Route}


def sample(at_s: float, total_s: float = 0.1, outcome: Outcome = Outcome.OK, route: Route = Route.SEARCH) -> Sample:
    return Sample(0, route, at_s, outcome, started_s=at_s, ended_s=at_s + total_s)


def missed(at_s: float) -> Sample:
    return Sample(0, Route.SEARCH, at_s, Outcome.MISSED)


def streamed(first_s: float | None, total_s: float) -> Sample:
    return Sample(0, Route.STREAM, 5.0, Outcome.OK, 5.0, first_s and 5.0 + first_s, 5.0 + total_s)


@pytest.mark.parametrize(
    ("each", "is_good"),
    [
        (sample(0, 1.0), True),
        (sample(0, 1.1), False),
        (streamed(0.4, 0.9), True),
        (streamed(0.6, 0.9), False),
        (streamed(0.4, 1.1), False),
        (streamed(None, 0.9), True),
        (missed(0), False),
        *((sample(0, outcome=outcome), False) for outcome in Outcome if outcome not in {Outcome.OK, Outcome.MISSED}),
    ],
)
def test_good_is_what_was_answered_whole_and_in_time(each: Sample, is_good: bool) -> None:
    assert OBJECTIVES[each.route].is_met(each) is is_good


def test_latency_counts_from_the_intended_start() -> None:
    late = Sample(0, Route.STREAM, at_s=1.0, outcome=Outcome.OK, started_s=1.6, first_s=1.7, ended_s=2.0)
    assert (late.ttft_ms, late.total_ms) == (pytest.approx(700), pytest.approx(1000))


def test_missed_starts_are_offered_and_not_good() -> None:
    samples = [*(sample(at_s / 10) for at_s in range(80)), *(missed(at_s / 10) for at_s in range(20)), sample(11)]
    goodput = Goodput.of(samples, OBJECTIVES, Span(0, 10))
    assert goodput == Goodput(100, 80, 80, 10)
    assert (goodput.share, goodput.offered_per_s, goodput.good_per_s) == (0.8, 10, 8)
    assert Goodput.of([], OBJECTIVES, Span(0, 10)).share is None
    assert Goodput.of([sample(9.5, 0.9), sample(8.5, 0.9)], OBJECTIVES, Span(0, 10)) == Goodput(2, 2, 1, 10)
    assert Goodput.of([sample(9.5, 0.9), sample(8.5, 0.9)], OBJECTIVES, Span(10, 20)) == Goodput(0, 0, 1, 10)
    assert by_second(samples, OBJECTIVES, 12)[[0, 1, 9, 11]].tolist() == [[20, 10], [20, 10], [0, 0], [1, 1]]


def test_recovery_ends_where_five_seconds_are_good() -> None:
    # Ten a second; the overload ends at 10 s, what arrives until 14 s is late.
    samples = [sample(at / 10, 3.0 if at < 140 else 0.1) for at in range(400)]
    assert recovery_s(samples, OBJECTIVES, Span(10, 40)) == pytest.approx(4, abs=0.25)
    assert recovery_s(samples, OBJECTIVES, Span(20, 40)) == 0
    assert recovery_s([sample(at / 10, 3.0) for at in range(400)], OBJECTIVES, Span(10, 40)) is None
    # One good second between bad ones is no recovery.
    flapping = [sample(at / 10, 3.0 if at // 10 % 2 else 0.1) for at in range(400)]
    assert recovery_s(flapping, OBJECTIVES, Span(10, 40)) is None
    # Nor are ten good ones, where it goes on to fail.
    relapsing = [sample(at / 10, 3.0 if 200 <= at < 230 else 0.1) for at in range(400)]
    assert recovery_s(relapsing, OBJECTIVES, Span(10, 40)) == pytest.approx(13, abs=0.25)


def test_a_slope_is_one_in_spite_of_outliers_and_none_where_readings_scatter() -> None:
    leak = [(float(at), 100.0 + at + (50 if at % 7 == 0 else 0)) for at in range(100)]
    slope = Slope.of(leak)
    assert slope is not None
    assert slope.per_hour == pytest.approx(3600, rel=0.05)
    assert slope.low > 1800
    scattered = [(float(at), 100.0 + (at * 7919) % 13) for at in range(100)]
    still = Slope.of(scattered)
    assert still is not None
    assert still.low < 0 < still.high
    warming_up = [(at, value * 3 if at < 49 else value) for at, value in scattered]
    assert Slope.of(warming_up) == still, "the first half is left out"
    assert Slope.of([(0.0, 1.0), (1.0, 2.0)]) is None
    day = Slope.of([(float(at), at / 3600) for at in range(86_400)])
    assert day is not None
    assert day.per_hour == pytest.approx(1)
    assert Slope.of([]) is None


def climbed(climb: Climb, knee: float, hiccup_at: int | None = None) -> list[Step]:
    """The steps of a server that keeps up to ``knee``, and once has something else to do."""
    steps: list[Step] = []
    while (rate := climb.next_rate(steps)) is not None:
        share = 1.0 if rate <= knee and len(steps) != hiccup_at else 0.5
        steps.append(Step(rate, Goodput(1000, int(1000 * share), int(1000 * share), 1000 / rate)))
    return steps


@pytest.mark.parametrize("knee", [0.9, 4.0, 37.0, 800.0])
def test_the_capacity_is_found_from_below(knee: float) -> None:
    steps = climbed(Climb(), knee)
    assert knee / 1.1 <= capacity(steps) <= knee
    assert len(steps) <= 24
    expected = max(capacity(steps), *(step.rate / 2 for step in steps if not step.holds))
    assert peak_good_per_s(steps) == pytest.approx(expected)


@pytest.mark.parametrize("hiccup_at", [0, 2, 4])
def test_one_step_that_fails_by_accident_is_offered_again(hiccup_at: int) -> None:
    assert 37 / 1.1 <= capacity(climbed(Climb(), 37.0, hiccup_at)) <= 37


def test_a_server_that_never_keeps_up_has_no_capacity() -> None:
    assert capacity(climbed(Climb(), 0.0)) == 0


def test_samples_are_kept_as_they_were(tmp_path: Path) -> None:
    samples = [sample(0.1), missed(0.2), Sample(3, Route.CHAT, 1, Outcome.BROKEN, 1, 2, 3, (0.5, 1.5), 200, True, "x")]
    write(tmp_path / "samples.jsonl", samples)
    assert [each.as_line() for each in read(tmp_path / "samples.jsonl")] == [each.as_line() for each in samples]


def figures(samples: list[Sample], profile: Profile = Profile.STEADY, readings: tuple[Reading, ...] = ()) -> Figures:
    course = profile.course
    assert course is not None
    shape = course.shape(120, 40) if profile is Profile.OVERLOAD else Shape((Phase.steady("load", 20, 10),))
    steps = [Step(40, Goodput(400, 400, 400, 10))]
    return Figures.of(Measured(profile, Run(shape, samples, readings, 1.0), steps), OBJECTIVES)


def test_sheds_are_neither_success_nor_failure() -> None:
    outcomes = [Outcome.OK] * 4 + [Outcome.SHED] * 3 + [Outcome.TIMEOUT, Outcome.HANG_UP, Outcome.BROKEN]
    found = figures([sample(at, outcome=outcome) for at, outcome in enumerate(outcomes)])
    assert found.values["shed_share"] == 0.3
    assert found.values["error_share"] == 0.3
    assert found.values["goodput_share"] == 0.4
    assert found.outcomes[Outcome.SHED] == 3


def test_percentiles_leave_out_sheds_which_are_quick() -> None:
    samples = [sample(at / 10, 0.5) for at in range(50)] + [sample(at / 10, 0.001, Outcome.SHED) for at in range(100)]
    assert figures(samples).latency_ms[Route.SEARCH]["total"]["p50"] == pytest.approx(500)


def test_an_overload_is_held_to_the_peak() -> None:
    # Capacity 40: 120 arrivals a second, 36 of them good.
    samples = [
        sample(at / 120, outcome=Outcome.OK if at % 10 < 3 or at / 120 >= 150 else Outcome.SHED)
        for at in range(120 * 180)
    ]
    found = figures(samples, Profile.OVERLOAD)
    assert found.values["goodput_of_peak"] == pytest.approx(0.9, rel=0.01)
    assert found.values["recovery_s"] == 0


def test_a_search_that_found_too_little_shows_in_the_overload() -> None:
    found = figures([sample(at / 120) for at in range(120 * 180)], Profile.OVERLOAD)
    assert found.values["goodput_of_peak"] == pytest.approx(3, rel=0.01)
    assert found.values["found_share"] == pytest.approx(1 / 3, rel=0.01)
    assert figures([missed(at / 120) for at in range(120 * 180)], Profile.OVERLOAD).values["found_share"] == 1


def test_growth_is_what_readings_bear_out() -> None:
    readings = tuple(Reading(float(at), descriptors=50.0 + at, threads=20.0 + (at * 7919) % 5) for at in range(20))
    found = figures([sample(1)], readings=readings)
    assert found.values["descriptors_per_hour"] == pytest.approx(3600, rel=0.01)
    assert found.values["threads_per_hour"] == 0
    assert found.values["memory_mib_per_hour"] is None


def test_the_budgets_that_come_with_it_say_something_of_every_profile() -> None:
    budgets = Budgets.read(DEFAULT)
    assert set(budgets.profiles) == set(Profile)
    assert set(budgets.objectives) == set(Route)
