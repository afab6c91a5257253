"""Backoff: ever longer pauses before a process is started again."""

from service.up.durations import Durations

_CRASH_LOOP = 4


class Backoff:
    """Of one process. A pause is twice the one before, until the process has lived for long enough."""

    def __init__(self, durations: Durations) -> None:
        self._durations = durations
        self.in_a_row = 0

    @property
    def is_crash_loop(self) -> bool:
        """So many ends in a row that the next start will hardly help."""
        return self.in_a_row >= _CRASH_LOOP

    def pause_s(self, lived_s: float) -> float:
        """How long to wait before the next start, after a life of ``lived_s``."""
        if lived_s >= self._durations.stable_s:
            self.in_a_row = 0
        self.in_a_row += 1
        doubled = self._durations.first_pause_s * 2.0 ** min(self.in_a_row - 1, 32)
        return min(doubled, self._durations.longest_pause_s)
