"""Slope: how fast a figure grows that ought not to, by Theil and Sen.

The median of the slopes between all pairs of readings: a third of them may be outliers, as a burst of connections is.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import theilslopes

_HOUR_S = 3600.0
_CONFIDENCE = 0.95
_LEAST_READINGS = 3
# All pairs are held at once: a thousand take 8 MB, and a day of readings would take 60 GB.
_MOST_READINGS = 1000
# A run opens connections, fills caches and grows pools, ever more slowly, as forms of requests that are rarer turn up;
# what leaks does so in the second half as fast as in the first.
WARM_UP_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Slope:
    """An hour's growth.

    Attributes:
        low, high: the 95 % interval.
    """

    per_hour: float
    low: float
    high: float

    @classmethod
    def of(cls, readings: Sequence[tuple[float, float]]) -> "Slope | None":
        """Of (second, value) in order of time, the first half of the time left out; of very many readings, some.

        Returns:
            None where fewer than three readings are left.
        """
        if not readings:
            return None
        first, last = readings[0][0], readings[-1][0]
        kept = [reading for reading in readings if reading[0] >= first + WARM_UP_SHARE * (last - first)]
        if len(kept) < _LEAST_READINGS:
            return None
        times, values = zip(*kept[:: -(-len(kept) // _MOST_READINGS)], strict=True)
        found = theilslopes(values, times, _CONFIDENCE)
        return cls(*(float(each) * _HOUR_S for each in (found.slope, found.low_slope, found.high_slope)))
