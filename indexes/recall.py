"""Recall of live searches, measured on a sample of them that is searched again exactly."""

import threading
from collections import deque
from dataclasses import dataclass
from math import sqrt

_Z95 = 1.959964  # of the normal distribution, for an interval that covers 95 %

# Searches that must have been compared before the recall says anything.
_LEAST_COMPARED = 100


@dataclass(frozen=True, slots=True)
class RecallEstimate:
    """Share of the exact results that were found.

    Attributes:
        recall: of the searches in the window; None before the first.
        low: lower end of the 95 % interval.
        high: upper end.
        searches: compared, in the window.
    """

    recall: float | None
    low: float
    high: float
    searches: int

    def misses(self, target: float) -> bool:
        """The recall lies below ``target``, as far as that can be told; False while too few were compared."""
        return self.searches >= _LEAST_COMPARED and self.high < target


class LiveRecall:
    """A sliding window over compared searches. One thread records while others ask."""

    def __init__(self, window: int = 1000) -> None:
        self._lock = threading.Lock()  # a deque cannot be read while it is added to
        self._counts: deque[tuple[int, int]] = deque(maxlen=window)

    def record(self, found: int, wanted: int) -> None:
        """Count a search that returned ``found`` of the ``wanted`` exact results."""
        if wanted:
            with self._lock:
                self._counts.append((found, wanted))

    def clear(self) -> None:
        """Forget what another index was measured at."""
        with self._lock:
            self._counts.clear()

    def estimate(self) -> RecallEstimate:
        """Recall with its interval."""
        with self._lock:
            counts = list(self._counts)
        found, wanted = sum(count for count, _ in counts), sum(count for _, count in counts)
        low, high = wilson_interval(found, wanted)
        return RecallEstimate(found / wanted if wanted else None, low, high, len(counts))


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """95 % score interval of a share (Wilson 1927, J. Am. Stat. Assoc. 22, 209-212); all of [0, 1] without a trial.

    Results of one search stand and fall together more than coins do, so the interval is a little narrow.
    """
    if not trials:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z95**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z95 / (1 + z2 / trials) * sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    # Rounding may put an end on the wrong side of the share where that is 0 or 1.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
