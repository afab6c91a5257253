"""Liveness: when a server last gave a sign of life."""

from collections.abc import Hashable


class Liveness:
    """Signs are a canary that was answered, a stream that moved, and a counter of tokens that did.

    A busy server answers its canary late and moves its counters; only one that gives no sign at all is frozen. Times
    are seconds of ``time.monotonic()``.

    Args:
        now: as if a sign had come now.
        frozen_after_s: without one.
    """

    def __init__(self, now: float, frozen_after_s: float) -> None:
        self._sign_at = now
        self._frozen_after_s = frozen_after_s
        self._counters: Hashable = None
        self._counted_at = now

    def see(self, at: float) -> None:
        """A canary was answered, or a stream moved, at ``at``."""
        self._sign_at = max(self._sign_at, at)

    def count(self, counters: Hashable, at: float) -> None:
        """The counters were read at ``at``; they may have moved as early as right after they were read before."""
        if self._counters is not None and counters != self._counters:
            self.see(self._counted_at)
        self._counters, self._counted_at = counters, at

    def excuse(self, seconds: float) -> None:
        """This process itself stood still for so long, and saw nothing."""
        self._sign_at += seconds

    def silent_s(self, now: float) -> float:
        """Since the last sign."""
        return max(0.0, now - self._sign_at)

    def is_frozen(self, now: float) -> bool:
        """No sign for too long."""
        return self.silent_s(now) >= self._frozen_after_s
