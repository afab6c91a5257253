import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from indexes.recall import LiveRecall, wilson_interval


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns after every few instructions."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_nothing_is_claimed_before_the_first_search() -> None:
    estimate = LiveRecall().estimate()
    assert (estimate.recall, estimate.low, estimate.high, estimate.searches) == (None, 0, 1, 0)


def test_the_interval_is_wilsons() -> None:
    # Worked by hand from the formula for 81 of 263 (Newcombe 1998, Statistics in Medicine 17, 857-872, method 3).
    low, high = wilson_interval(81, 263)
    assert low == pytest.approx(0.2553, abs=1e-4)
    assert high == pytest.approx(0.3662, abs=1e-4)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (1, 1), (0, 1)])
def test_the_ends_stay_within_zero_and_one(successes: int, trials: int) -> None:
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1


def test_recall_counts_results_and_not_searches() -> None:
    live = LiveRecall()
    live.record(10, 10)
    live.record(0, 2)
    live.record(0, 0)  # there was nothing to find
    estimate = live.estimate()
    assert estimate.recall == pytest.approx(10 / 12)
    assert estimate.low < 10 / 12 < estimate.high
    assert estimate.searches == 2


def test_a_target_is_missed_only_when_enough_searches_say_so() -> None:
    live = LiveRecall()
    for _ in range(99):
        live.record(9, 10)
    assert not live.estimate().misses(0.99)
    live.record(9, 10)
    assert live.estimate().misses(0.99)
    assert not live.estimate().misses(0.9)


def test_old_searches_leave_the_window() -> None:
    live = LiveRecall(window=2)
    for found in (0, 10, 10):
        live.record(found, 10)
    assert live.estimate().recall == 1
    live.clear()
    assert live.estimate().searches == 0


@pytest.mark.usefixtures("hasty_threads")
def test_the_estimate_can_be_asked_for_while_searches_are_recorded() -> None:
    live = LiveRecall()
    for _ in range(1000):
        live.record(10, 10)
    with ThreadPoolExecutor(1) as threads:
        recording = threads.submit(lambda: [live.record(10, 10) for _ in range(20_000)])
        while not recording.done():
            assert live.estimate().searches == 1000
