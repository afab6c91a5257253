"""Latency: what a client waited for, beside what it got."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from a request to the last byte of its reply."""

    p50: float
    p95: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latency | None":
        """Of samples in seconds; None without any."""
        if not seconds:
            return None
        p50, p95 = np.percentile(seconds, [50, 95]) * 1000
        return cls(round(float(p50), 3), round(float(p95), 3))
