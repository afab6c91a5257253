"""Abstention: what a threshold of the confidence would answer, and what it would leave open."""

from dataclasses import dataclass

import numpy as np

from service.cli.eval.samples import Floats

_STEP = 0.01


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Shares of each kind of question; None where there is none of a kind.

    Attributes:
        answered: of the answerable ones, those whose confidence reaches the threshold.
        abstained: of the unanswerable ones, those that stay below it.
        abstained_foreign: likewise of foreign ones.
    """

    threshold: float
    answered: float | None
    abstained: float | None
    abstained_foreign: float | None


def abstention_curve(answerable: Floats, unanswerable: Floats, foreign: Floats) -> list[CurvePoint]:
    """A point each hundredth, from the last threshold that all reach to the first that none does."""
    every = np.concatenate([answerable, unanswerable, foreign])
    if not len(every):
        return []
    first, last = int(np.floor(every.min() / _STEP)), int(np.floor(every.max() / _STEP)) + 1
    return [point_at(round(place * _STEP, 2), answerable, unanswerable, foreign) for place in range(first, last + 1)]


def point_at(threshold: float, answerable: Floats, unanswerable: Floats, foreign: Floats) -> CurvePoint:
    """The point of one threshold."""
    return CurvePoint(
        threshold,
        _share(answerable >= threshold),
        _share(unanswerable < threshold),
        _share(foreign < threshold),
    )


def _share(is_so: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float | None:
    return float(is_so.mean()) if len(is_so) else None
