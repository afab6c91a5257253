"""Pace: what the stages of a question have taken lately, to plan the next one by."""

import time
from weakref import WeakKeyDictionary

from indexes.collection import QueriedCollection

# The gains of TCP's estimate of round-trip times, and its factor of the deviation (RFC 6298, section 2).
_MEAN_GAIN = 1 / 8
_DEVIATION_GAIN = 1 / 4
_DEVIATIONS = 4
# How fast the least rises again: one quick run counts for dozens of slow ones.
_LEAST_GAIN = 1 / 32
_FRESH_S = 10.0


class Estimate:
    """Of a quantity that is measured again and again.

    It is None where nothing was measured for ten seconds: what was slow once would be refused for ever, and so never be
    measured again.
    """

    def __init__(self) -> None:
        self._mean = self._deviation = self._least = 0.0
        self._measured_at: float | None = None

    def observe(self, value: float) -> None:
        """Count a measurement."""
        if self._measured_at is None:
            self._mean, self._deviation, self._least = value, value / 2, value
        off = value - self._mean
        self._mean += _MEAN_GAIN * off
        self._deviation += _DEVIATION_GAIN * (abs(off) - self._deviation)
        self._least = min(value, self._least + _LEAST_GAIN * (value - self._least))
        self._measured_at = time.monotonic()

    def observe_cut(self, value: float) -> None:
        """Count something that was ended when it had come to ``value``: it would have been more."""
        if value > (self.usual or 0.0):
            self.observe(value)

    @property
    def usual(self) -> float | None:
        """The mean."""
        return self._mean if self._is_fresh else None

    @property
    def most(self) -> float | None:
        """What hardly any will exceed."""
        return self._mean + _DEVIATIONS * self._deviation if self._is_fresh else None

    @property
    def least(self) -> float | None:
        """What it takes when nothing is in its way."""
        return self._least if self._is_fresh else None

    @property
    def _is_fresh(self) -> bool:
        return self._measured_at is not None and time.monotonic() - self._measured_at < _FRESH_S


class Pace:
    """For the event loop only.

    Attributes:
        extractive: seconds of an extractive answer.
        answer_tokens: of a language model's answer.
    """

    def __init__(self) -> None:
        self.extractive = Estimate()
        self.answer_tokens = Estimate()
        self._searches: WeakKeyDictionary[QueriedCollection, Estimate] = WeakKeyDictionary()

    def search(self, collection: QueriedCollection) -> Estimate:
        """Seconds of a search of the collection, waiting for a thread left out."""
        return self._searches.setdefault(collection, Estimate())
