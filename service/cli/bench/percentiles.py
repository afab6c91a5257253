"""Percentiles of samples."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Milliseconds."""

    p50: float
    p99: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Percentiles":
        """Of samples in seconds."""
        p50, p99 = np.percentile(seconds, [50, 99]) * 1000
        return cls(round(float(p50), 3), round(float(p99), 3))
