"""Bootstrap: how far a metric may be trusted, by drawing the queries again.

Percentile intervals and the paired test after B. Efron and R. Tibshirani, An Introduction to the Bootstrap (1993),
sections 13.3 and 16.4; for searches see T. Sakai, Evaluating evaluation metrics based on the bootstrap (SIGIR 2006).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.cli.eval.samples import Floats, Samples

CONFIDENCE = 0.95
_TAILS = (100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2)


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric with its interval.

    Attributes:
        value, low, high: None where there is nothing to take it of.
        n: queries that it was taken of.
    """

    name: str
    value: float | None
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        return "-" if self.value is None else f"{self.value:.4f} ({self.low:.4f} to {self.high:.4f})"


@dataclass(frozen=True, slots=True)
class Difference:
    """One way less another, over the queries that both were asked.

    Attributes:
        p: how often so large a difference, of either sign, would come about if there were none.
    """

    name: str
    value: float
    low: float
    high: float
    p: float
    n: int


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Draws ``resamples`` times; the same seed draws the same, whatever was drawn before."""

    seed: int
    resamples: int

    def metric(self, samples: Samples) -> Metric:
        """The whole of the samples, and its 95 % interval."""
        value = samples.whole
        if value is None:
            return Metric(samples.name, None, None, None, 0)
        drawn = self._drawn(len(samples.ids), samples.resampled)
        return Metric(samples.name, value, *_interval(drawn), int(np.count_nonzero(samples.weights)))

    def auroc(self, name: str, positive: Floats, negative: Floats) -> Metric:
        """The area under the ROC curve, each side drawn for itself; with nothing on a side there is none."""
        if not len(positive) or not len(negative):
            return Metric(name, None, None, None, 0)
        rng = np.random.default_rng(self.seed)
        drawn = np.array(
            [
                area(rng.choice(positive, len(positive)), rng.choice(negative, len(negative)))
                for _ in range(self.resamples)
            ]
        )
        return Metric(name, area(positive, negative), *_interval(drawn), len(positive) + len(negative))

    def difference(self, one: Samples, other: Samples) -> Difference | None:
        """``one`` less ``other``, query by query; None where they share no query, or one has nothing to say of them.

        The test asks how often the drawn differences, moved so that their centre is zero, are as large as the one seen.
        """
        shared = [query for query in one.ids if query in set(other.ids)]
        first, second = one.restricted(shared), other.restricted(shared)
        if first.whole is None or second.whole is None:
            return None
        seen = first.whole - second.whole
        drawn = self._drawn(len(shared), lambda chosen: first.resampled(chosen) - second.resampled(chosen))
        as_large = int(np.count_nonzero(np.abs(drawn - seen) >= abs(seen) - 1e-12))
        p = (as_large + 1) / (len(drawn) + 1)
        return Difference(one.name, seen, *_interval(drawn), p, len(shared))

    def _drawn(self, size: int, statistic: Callable[[npt.NDArray[np.int64]], float]) -> Floats:
        """The statistic of every resample that it can be taken of."""
        rng = np.random.default_rng(self.seed)
        drawn = np.array([statistic(rng.integers(size, size=size)) for _ in range(self.resamples)])
        kept: Floats = drawn[np.isfinite(drawn)]
        return kept


def area(positive: Floats, negative: Floats) -> float:
    """The area under the ROC curve: how often a positive is above a negative, ties by half.

    J. Hanley and B. McNeil, Radiology 143 (1982).
    """
    ordered = np.sort(negative)
    below = np.searchsorted(ordered, positive, side="left")
    not_above = np.searchsorted(ordered, positive, side="right")
    return float((below + not_above).sum() / (2 * len(positive) * len(negative)))


def _interval(drawn: Floats) -> tuple[float, float]:
    low, high = np.percentile(drawn, _TAILS)
    return float(low), float(high)
