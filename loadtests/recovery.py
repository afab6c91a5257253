"""Recovery: how long after an overload requests are good again."""

from collections.abc import Sequence

import numpy as np

from loadtests.goodput import GOOD_SHARE
from loadtests.objective import Objectives
from loadtests.sample import Sample
from loadtests.shape import Span

WINDOW_S = 5.0
_STEP_S = 0.25


def recovery_s(samples: Sequence[Sample], objectives: Objectives, span: Span) -> float | None:
    """Seconds from the start of the span until from then on 99 % of the arrivals of any five seconds are good.

    Args:
        span: after the overload; its last five seconds are the last window.

    Returns:
        To a quarter of a second; None where it never came to that.
    """
    here = sorted((sample.at_s, objectives[sample.route].is_met(sample)) for sample in samples if span.has(sample.at_s))
    times = np.array([at_s for at_s, _ in here])
    good = np.concatenate([[0], np.cumsum([is_good for _, is_good in here])])
    starts = np.arange(span.start, span.end - WINDOW_S + _STEP_S / 2, _STEP_S)
    first, last = np.searchsorted(times, starts), np.searchsorted(times, starts + WINDOW_S)
    holds = (good[last] - good[first]) >= GOOD_SHARE * (last - first)
    lasting = np.logical_and.accumulate(holds[::-1])[::-1] & (last > first)
    return float(starts[lasting.argmax()] - span.start) if lasting.any() else None
