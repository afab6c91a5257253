"""When requests are to start: drawn before the first of them does."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from loadtests.arrivals import Arrival, drawn
from loadtests.open_loop.dispatch import Dispatch
from loadtests.profile import Profile
from loadtests.route import MIXES, Route
from loadtests.shape import Phase, Shape

SEARCH = MIXES["search"]
SEEDS = range(20)


def steady(seconds: float, rate: float) -> Shape:
    return Shape((Phase.steady("load", seconds, rate),))


class SimulatedClock:
    """Time that passes when somebody sleeps or works."""

    def __init__(self) -> None:
        self.at_s = 0.0

    def now_s(self) -> float:
        return self.at_s

    def sleep(self, seconds: float) -> None:
        self.at_s += seconds


class SimulatedPlaces:
    """Requests that end after a while, `count` at once."""

    def __init__(self, clock: SimulatedClock, count: int) -> None:
        self._clock = clock
        self._ends = [0.0] * count

    def take(self, within_s: float) -> bool:
        first = min(self._ends)
        if first > self._clock.at_s + within_s:
            self._clock.at_s += within_s
            return False
        self._clock.at_s = max(self._clock.at_s, first)
        return True

    def occupy(self, seconds: float) -> None:
        self._ends[self._ends.index(min(self._ends))] = self._clock.at_s + seconds


def dispatched(arrivals: list[Arrival], service_s: float, places: int) -> tuple[dict[int, float], dict[int, str]]:
    """Starts and misses by number."""
    clock = SimulatedClock()
    free = SimulatedPlaces(clock, places)
    starts: dict[int, float] = {}
    misses: dict[int, str] = {}

    def start(arrival: Arrival) -> None:
        starts[arrival.number] = clock.at_s
        free.occupy(service_s)

    Dispatch(clock, free, start, lambda arrival, why: misses.update({arrival.number: why}), 0.5).run(arrivals)
    return starts, misses


def test_there_are_as_many_as_the_rate_says_and_gaps_have_no_memory() -> None:
    counts, ratios = [], []
    for seed in SEEDS:
        times = [each.at_s for each in drawn(steady(100, 20), SEARCH, seed)]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        mean = sum(gaps) / len(gaps)
        counts.append(len(times))
        ratios.append(sum(gap > mean for gap in gaps) / len(gaps))
    # 40,000 expected: five standard deviations of a Poisson distribution are 1,000.
    assert abs(sum(counts) - 40_000) < 1000
    assert len(set(counts)) > 1, "a count that never differs is no Poisson process"
    assert sum(ratios) / len(ratios) == pytest.approx(1 / math.e, abs=0.02)


def test_the_rate_follows_the_shape() -> None:
    shape = Shape((Phase.steady("a", 50, 10), Phase("b", 50, 10, 110), Phase.steady("c", 50, 5)))
    assert (shape.seconds, shape.peak, shape.expected) == (150, 110, 500 + 3000 + 250)
    times = [each.at_s for seed in SEEDS for each in drawn(shape, SEARCH, seed)]
    counted = Counter(int(at_s // 25) for at_s in times)
    expected = [250, 250, 875, 2125, 125, 125]
    assert [counted[part] / len(SEEDS) for part in range(6)] == pytest.approx(expected, rel=0.1)
    assert max(times) < 150


def test_equal_seeds_give_equal_arrivals() -> None:
    assert drawn(steady(10, 30), MIXES["mix"], 7) == drawn(steady(10, 30), MIXES["mix"], 7)
    assert drawn(steady(10, 30), MIXES["mix"], 7) != drawn(steady(10, 30), MIXES["mix"], 8)


def test_routes_come_by_their_weights() -> None:
    counted = Counter(each.route for each in drawn(steady(1000, 20), MIXES["mix"], 1))
    weights = MIXES["mix"]
    for route in Route:
        assert counted[route] / counted.total() == pytest.approx(weights[route] / sum(weights.values()), rel=0.15)


def test_starts_do_not_depend_on_how_long_a_reply_takes() -> None:
    arrivals = list(drawn(steady(30, 20), SEARCH, 3))
    quick, slow = (dispatched(arrivals, service_s, places=1000) for service_s in (0.001, 20.0))
    assert quick == slow
    assert quick[0] == pytest.approx({each.number: each.at_s for each in arrivals})


def test_what_finds_no_place_in_time_is_missed_and_counted() -> None:
    arrivals = list(drawn(steady(30, 20), SEARCH, 3))
    starts, misses = dispatched(arrivals, service_s=1.0, places=10)
    assert misses
    assert set(misses.values()) <= {"busy", "late"}
    assert starts.keys() | misses.keys() == {each.number for each in arrivals}
    assert not starts.keys() & misses.keys()
    # Ten places of a second each serve ten a second; twice as many arrive.
    assert len(starts) == pytest.approx(300, rel=0.1)
    assert all(starts[each.number] - each.at_s <= 0.5 for each in arrivals if each.number in starts)


def test_a_driver_that_stood_still_counts_what_it_missed() -> None:
    arrivals = list(drawn(steady(10, 20), SEARCH, 3))
    clock = SimulatedClock()
    started: list[Arrival] = []
    missed: list[tuple[Arrival, str]] = []

    def start(arrival: Arrival) -> None:
        if not started:
            clock.sleep(5.0)
        started.append(arrival)

    places = SimulatedPlaces(clock, 1)
    Dispatch(clock, places, start, lambda arrival, why: missed.append((arrival, why)), 0.5).run(arrivals)
    assert {why for _, why in missed} == {"late"}
    assert sorted(each.number for each in [*started, *(arrival for arrival, _ in missed)]) == list(range(len(arrivals)))
    assert len(missed) == sum(started[0].at_s < each.at_s <= started[0].at_s + 4.5 for each in arrivals)


def test_after_an_overload_there_is_a_time_to_recover() -> None:
    course = Profile.OVERLOAD.course
    assert course is not None
    shape = course.shape(120, 40)
    overload, recovery = shape.span("overload"), shape.span("recovery")
    assert overload.seconds == 120
    assert shape.rates(np.array([overload.start + 1])) == 3 * 40
    assert (recovery.start, recovery.end) == (overload.end, shape.seconds)
    assert recovery.seconds > 10
    assert shape.rates(np.array([recovery.start + 1])) == 20


@pytest.mark.parametrize("profile", [Profile.OVERLOAD, Profile.SPIKE])
def test_a_short_overload_leaves_as_much_time_to_recover(profile: Profile) -> None:
    course = profile.course
    assert course is not None
    assert course.shape(6, 40).span("recovery").seconds >= 15
