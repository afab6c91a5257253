"""Backlog: questions that are being searched for, and how long one more would wait behind them."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.errors import OverloadedError

# How far back the pace of searches is looked at: long enough for a few batches, short enough for a burst.
_LOOKS_BACK_S = 1.0
# The expected wait is a mean, and about every second question waits longer; hardly any waits twice as long.
_MARGIN = 2
_LEAST_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class BacklogLimits:
    """Who is taken on.

    Attributes:
        at_once: questions that need not wait for each other.
        most: that may be under way.
        wait_s: longest expected wait.
    """

    at_once: int
    most: int
    wait_s: float


class Backlog:
    """For the event loop only.

    Whatever questions wait for (the event loop, the device, a thread), by Little's law one more waits until as many
    have left as are before it. How fast they leave is measured while all are busy, by their ends: a cause of waiting
    that nobody thought of counts too.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, limits: BacklogLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._questions = 0
        self._looked_at = 0.0
        self._busy_s = self._left = 0.0  # of late, the older the less

    @property
    def questions(self) -> int:
        """Under way."""
        return self._questions

    @property
    def wait_s(self) -> float:
        """That one more would have to expect; 0 before anything was measured."""
        before = self._questions - self._limits.at_once + 1
        if before <= 0 or not self._left:
            return 0.0
        return before * (self._busy_s + self._clock() - self._looked_at) / self._left

    def check(self, remaining_s: float = math.inf) -> None:
        """Look whether one more may come.

        Args:
            remaining_s: that it has.

        Raises:
            OverloadedError: it would wait too long, or there are too many.
        """
        limits, wait_s = self._limits, self.wait_s
        longest_s = min(limits.wait_s, remaining_s / _MARGIN)
        if self._questions < limits.most and wait_s <= longest_s:
            return
        raise OverloadedError(
            f"{self._questions} questions are under way, and one more would wait for an expected "
            f"{wait_s * 1000:.0f} ms; the limits are {limits.most} questions and {longest_s * 1000:.0f} ms",
            retry_after_s=max(_LEAST_RETRY_S, wait_s - longest_s),
        )

    @contextmanager
    def joined(self, remaining_s: float) -> Iterator[None]:
        """One more is under way, until it has been searched for.

        Raises:
            OverloadedError: as ``check``.
        """
        self.check(remaining_s)
        self._questions += 1
        if self._questions == self._limits.at_once:
            self._looked_at = self._clock()  # from now on all are busy
        try:
            yield
            self._count()
        finally:
            self._questions -= 1

    def _count(self) -> None:
        """One was searched for; one that failed says nothing of the pace of the others."""
        if self._questions < self._limits.at_once:
            return
        now = self._clock()
        took_s = min(now - self._looked_at, _LOOKS_BACK_S)  # one standstill is not the pace of what comes after it
        kept = math.exp(-took_s / _LOOKS_BACK_S)
        self._busy_s, self._left, self._looked_at = kept * self._busy_s + took_s, kept * self._left + 1, now
