"""Pauses between the starts of a process that keeps ending."""

from service.up.backoff import Backoff
from service.up.durations import Durations

DURATIONS = Durations(first_pause_s=1.0, longest_pause_s=10.0, stable_s=100.0)


def test_each_pause_is_twice_the_one_before_up_to_the_longest() -> None:
    backoff = Backoff(DURATIONS)
    assert [backoff.pause_s(1.0) for _ in range(6)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert max(backoff.pause_s(0.0) for _ in range(2000)) == 10.0


def test_a_life_that_was_long_enough_begins_anew() -> None:
    backoff = Backoff(DURATIONS)
    for _ in range(5):
        backoff.pause_s(99.0)
    assert backoff.is_crash_loop
    assert backoff.pause_s(100.0) == 1.0
    assert not backoff.is_crash_loop
    assert backoff.pause_s(0.0) == 2.0
