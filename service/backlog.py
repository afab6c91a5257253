"""Backlog: what is under way, and how long one more would wait behind it."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from service.errors import OverloadedError

# How far back the pace is looked at: long enough for a few batches, short enough for a burst.
_LOOKS_BACK_S = 1.0
# The expected wait is a mean, and about every second waits longer; hardly any waits twice as long.
_MARGIN = 2
_LEAST_RETRY_S = 0.05


@dataclass(frozen=True, slots=True)
class BacklogLimits:
    """Who is taken on.

    Attributes:
        at_once: how many need not wait for each other.
        most: that may be under way.
        wait_s: longest expected wait.
    """

    at_once: int
    most: int
    wait_s: float


class Backlog:
    """For the event loop only.

    Whatever is waited for (the event loop, the device, a thread), by Little's law one more waits until as many have
    left as are before it. How fast they leave is measured while all are busy, by their ends: a cause of waiting that
    nobody thought of counts too.

    Args:
        what: they are, for messages.
        clock: monotonic seconds.
    """

    def __init__(self, what: str, limits: BacklogLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._what = what
        self._limits = limits
        self._clock = clock
        self._count = 0
        self._callers: Counter[str] = Counter()
        self._looked_at = 0.0
        self._busy_s = self._left = 0.0  # of late, the older the less

    @property
    def count(self) -> int:
        """Under way."""
        return self._count

    @property
    def wait_s(self) -> float:
        """That one more would have to expect; 0 before anything was measured."""
        before = self._count - self._limits.at_once + 1
        if before <= 0 or not self._left:
            return 0.0
        return before * (self._busy_s + self._clock() - self._looked_at) / self._left

    def check(self, caller: str, remaining_s: float = math.inf) -> None:
        """Look whether one more may come.

        Args:
            remaining_s: that it has.

        Raises:
            OverloadedError: it would wait too long, and its caller has its share already; or there are too many.
        """
        wait_s, longest_s = self.wait_s, min(self._limits.wait_s, remaining_s / _MARGIN)
        if wait_s > longest_s and self._has_share(caller):
            raise OverloadedError(
                f"{self._count} {self._what} are under way, and one more would wait for an expected "
                f"{wait_s * 1000:.0f} ms; the limit is {longest_s * 1000:.0f} ms",
                retry_after_s=self._retry_s(wait_s - longest_s),
            )
        self.check_count()

    def check_count(self) -> None:
        """Look whether there is room for one more that has all the time.

        Raises:
            OverloadedError: there are too many.
        """
        if self._count >= self._limits.most:
            raise OverloadedError(
                f"{self._count} {self._what} are under way; the limit is {self._limits.most}",
                retry_after_s=self._retry_s(self.wait_s),
            )

    @contextmanager
    def joined(self, caller: str) -> Iterator[None]:
        """One more of the caller's is under way, to the end of the block."""
        self._count += 1
        self._callers[caller] += 1
        if self._count == self._limits.at_once:
            self._looked_at = self._clock()  # from now on all are busy
        try:
            yield
            self._observe()
        finally:
            self._count -= 1
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]

    def _has_share(self, caller: str) -> bool:
        """Of what is under way, as much as the others on the average: one who floods shuts out nobody else."""
        others = len(self._callers.keys() | {caller})
        return self._callers[caller] * others >= self._count

    def _retry_s(self, seconds: float) -> float:
        """By then there may be room. How long a standstill lasts nobody knows, and soon after it there is some."""
        return max(_LEAST_RETRY_S, min(seconds, self._limits.wait_s))

    def _observe(self) -> None:
        """One is done; one that failed says nothing of the pace of the others."""
        if self._count < self._limits.at_once:
            return
        now = self._clock()
        took_s = min(now - self._looked_at, _LOOKS_BACK_S)  # one standstill is not the pace of what comes after it
        kept = math.exp(-took_s / _LOOKS_BACK_S)
        self._busy_s, self._left, self._looked_at = kept * self._busy_s + took_s, kept * self._left + 1, now
