"""Backlog: who is taken on, by how fast those before leave."""

import math
from contextlib import ExitStack, suppress

import pytest

from service.backlog import Backlog, BacklogLimits
from service.errors import OverloadedError

AT_ONCE = 4


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def backlog(clock: Clock) -> Backlog:
    return Backlog("questions", BacklogLimits(AT_ONCE, most=50, wait_s=1.0), clock)


class Crowd:
    """Questions that leave in the order in which they came."""

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._stacks: list[ExitStack] = []

    def come(self, count: int, remaining_s: float = math.inf, caller: str = "") -> int:
        """How many of them were taken on."""
        before = len(self._stacks)
        for _ in range(count):
            stack = ExitStack()
            with suppress(OverloadedError):
                self._backlog.check(caller, remaining_s)
                stack.enter_context(self._backlog.joined(caller))
                self._stacks.append(stack)
        return len(self._stacks) - before

    def leave(self) -> None:
        self._stacks.pop(0).close()


@pytest.fixture
def crowd(backlog: Backlog) -> Crowd:
    return Crowd(backlog)


def served(crowd: Crowd, clock: Clock, count: int, each_s: float) -> None:
    """So many were, one after the other, and others took their places."""
    for _ in range(count):
        clock.now += each_s
        crowd.leave()
        crowd.come(1)


def test_before_anything_is_known_the_number_alone_decides(backlog: Backlog, crowd: Crowd) -> None:
    assert crowd.come(60) == 50
    assert (backlog.count, backlog.wait_s) == (50, 0.0)
    with pytest.raises(OverloadedError, match="50 questions are under way; the limit is 50"):
        backlog.check("")


def test_as_many_come_as_leave_within_the_wait(backlog: Backlog, clock: Clock, crowd: Crowd) -> None:
    crowd.come(AT_ONCE)
    served(crowd, clock, 100, each_s=0.1)
    assert crowd.come(30) == 10
    assert backlog.count == AT_ONCE + 10
    with pytest.raises(OverloadedError, match="an expected 1100 ms; the limit is 1000 ms") as error:
        backlog.check("")
    backlog.check_count()
    assert error.value.retry_after_s == pytest.approx(0.1)  # until one has left


def test_the_time_that_is_left_counts_half(clock: Clock, crowd: Crowd) -> None:
    crowd.come(AT_ONCE)
    served(crowd, clock, 100, each_s=0.1)
    assert crowd.come(30, remaining_s=1.0) == 5


def test_whoever_need_not_wait_is_taken_on_however_slow_it_was(backlog: Backlog, clock: Clock, crowd: Crowd) -> None:
    crowd.come(AT_ONCE)
    served(crowd, clock, 10, each_s=60)
    crowd.leave()
    assert crowd.come(3, remaining_s=0.001) == 1
    served(crowd, clock, 100, each_s=0.001)
    assert crowd.come(30) == 30, "and it is soon known how fast it is now"


def test_a_standstill_is_seen_before_anybody_leaves(backlog: Backlog, clock: Clock, crowd: Crowd) -> None:
    crowd.come(AT_ONCE)
    served(crowd, clock, 100, each_s=0.01)
    assert crowd.come(10) == 10
    before = backlog.wait_s
    clock.now += 10
    assert backlog.wait_s > 10 * before
    assert crowd.come(1) == 0


def test_those_who_leave_at_once_by_the_dozen_are_as_fast_as_one_by_one(
    backlog: Backlog, clock: Clock, crowd: Crowd
) -> None:
    crowd.come(AT_ONCE + 12)
    for _ in range(50):
        clock.now += 0.12
        for _ in range(12):
            crowd.leave()
        crowd.come(12)
    assert backlog.wait_s == pytest.approx(0.01 * (backlog.count - AT_ONCE + 1), rel=0.15)


def test_idle_time_is_not_the_time_of_a_question(backlog: Backlog, clock: Clock, crowd: Crowd) -> None:
    crowd.come(AT_ONCE)
    served(crowd, clock, 100, each_s=0.01)
    for _ in range(AT_ONCE):
        crowd.leave()
    clock.now += 1000
    assert crowd.come(AT_ONCE + 20) == AT_ONCE + 20
    assert backlog.wait_s < 1


def test_failures_do_not_make_it_look_fast(backlog: Backlog, clock: Clock, crowd: Crowd) -> None:
    crowd.come(AT_ONCE)
    served(crowd, clock, 100, each_s=0.1)
    before = backlog.wait_s
    for _ in range(1000):
        with pytest.raises(ValueError, match="broken"), backlog.joined(""):
            raise ValueError("broken")
    assert backlog.wait_s == before
    assert backlog.count == AT_ONCE


def test_one_who_floods_shuts_out_nobody_else(backlog: Backlog, clock: Clock, crowd: Crowd) -> None:
    crowd.come(AT_ONCE)
    served(crowd, clock, 100, each_s=0.1)
    assert crowd.come(30) == 10
    assert crowd.come(1, caller="another") == 1
    assert crowd.come(1) == 0
    assert crowd.come(100, caller="another") == 13, "until it has as much under way"
    assert crowd.come(100, caller="a third") == 14


def test_whoever_is_refused_in_a_standstill_asks_again_soon(backlog: Backlog, clock: Clock, crowd: Crowd) -> None:
    crowd.come(AT_ONCE)
    served(crowd, clock, 100, each_s=0.1)
    clock.now += 600
    with pytest.raises(OverloadedError) as error:
        backlog.check("")
    assert error.value.retry_after_s == 1.0
