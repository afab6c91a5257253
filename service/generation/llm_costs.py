"""What an answer of a model server is expected to take, fitted to the last ones."""

import time
from collections import deque

import numpy as np

from service.generation.base import Expectation

_REMEMBERED = 64
_ENOUGH = 5
# Whoever is planned without for being slow is not timed either: after so long without an answer it is tried again.
_FRESH_S = 60.0


class LlmCosts:
    """Time to the first text as a line over the prompt's tokens, and the median time between two tokens.

    The line is Theil and Sen's: its slope is the median of the slopes between all pairs of answers, its height the
    median of what remains (P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, JASA 63, 1968).
    Up to 29 % of the answers may be outliers, such as those that waited for a full batch, without moving it far. Older
    answers than the last 64 are forgotten, and all of them at the first answer after a minute without one.
    """

    def __init__(self) -> None:
        self._firsts: deque[tuple[int, float]] = deque(maxlen=_REMEMBERED)
        self._gaps: deque[float] = deque(maxlen=_REMEMBERED)
        self._expectation: Expectation | None = None
        self._added_at = float("-inf")

    @property
    def expectation(self) -> Expectation | None:
        """The last there was; None before a handful of answers."""
        return self._expectation

    @property
    def recent(self) -> Expectation | None:
        """What to plan by: None also where there was no answer for a minute, and before a handful after that."""
        return self._expectation if self._is_fresh and len(self._firsts) >= _ENOUGH else None

    def add(self, prompt_tokens: int, first_text_s: float, token_s: float | None) -> None:
        """An answer ended, or broke off when it had begun.

        Args:
            first_text_s: from when it was sent to its first text, seconds.
            token_s: mean time between two tokens; None for an answer of one.
        """
        if not self._is_fresh:
            self._firsts.clear()
            self._gaps.clear()
        self._added_at = time.monotonic()
        self._firsts.append((prompt_tokens, first_text_s))
        if token_s is not None:
            self._gaps.append(token_s)
        if len(self._firsts) >= _ENOUGH:
            height, slope = _line(np.array(self._firsts, dtype=np.float64))
            self._expectation = Expectation(height, slope, float(np.median(self._gaps)) if self._gaps else 0.0)

    @property
    def _is_fresh(self) -> bool:
        return time.monotonic() - self._added_at < _FRESH_S


def _line(points: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> tuple[float, float]:
    """Height and slope, neither below 0: time grows with tokens, whatever the noise says."""
    x, y = points.T
    left, right = np.triu_indices(len(x), k=1)
    apart = x[left] != x[right]
    slopes = (y[right] - y[left])[apart] / (x[right] - x[left])[apart]
    slope = max(0.0, float(np.median(slopes))) if len(slopes) else 0.0
    height = float(np.median(y - slope * x))
    if height < 0.0:
        return 0.0, float(np.median(y / np.maximum(x, 1.0)))
    return height, slope
