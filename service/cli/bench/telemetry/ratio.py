"""A ratio of two throughputs, and how far it may be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 10_000
_SEED = 1
_TAILS = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median over pairs that were taken one right after the other, with its 95 % interval.

    The interval is that of B. Efron's percentile bootstrap over the pairs.
    """

    value: float
    low: float
    high: float
    pairs: int

    @classmethod
    def of(cls, one: Sequence[float], other: Sequence[float]) -> "Ratio":
        """``one`` over ``other``.

        Raises:
            ValueError: they are not as many.
        """
        ratios = np.array([mine / theirs for mine, theirs in zip(one, other, strict=True)])
        drawn = np.random.default_rng(_SEED).integers(0, len(ratios), (_RESAMPLES, len(ratios)))
        low, high = np.percentile(np.median(ratios[drawn], axis=1), _TAILS)
        value, low, high = (round(float(each), 4) for each in (np.median(ratios), low, high))
        return cls(value, low, high, len(ratios))
