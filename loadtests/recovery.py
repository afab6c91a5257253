"""Recovery: how long after an overload requests are good again."""

from collections.abc import Sequence

import numpy as np

from loadtests.objective import Objectives
from loadtests.sample import Sample
from loadtests.shape import Span

WINDOW_S = 5.0
GOOD_SHARE = 0.99
_STEP_S = 0.25


def recovery_s(samples: Sequence[Sample], objectives: Objectives, span: Span) -> float | None:
    """Seconds from the start of the span until from then on 99 % of the arrivals of five seconds are good.

    Args:
        span: after the overload; its last five seconds are the last window.

    Returns:
        To a quarter of a second; None where it never came to that.
    """
    here = sorted((sample.at_s, objectives[sample.route].is_met(sample)) for sample in samples if span.has(sample.at_s))
    times = np.array([at_s for at_s, _ in here])
    good = np.concatenate([[0], np.cumsum([is_good for _, is_good in here])])
    for start in np.arange(span.start, span.end - WINDOW_S + _STEP_S / 2, _STEP_S):
        first, last = np.searchsorted(times, [start, start + WINDOW_S])
        if last > first and (good[last] - good[first]) / (last - first) >= GOOD_SHARE:
            return float(start - span.start)
    return None
