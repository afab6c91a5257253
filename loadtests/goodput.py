"""Goodput: the share of offered requests that met their objective, missed starts counted among the offered."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from loadtests.objective import Objectives
from loadtests.sample import Sample
from loadtests.shape import Span

# Of what is offered to a server that keeps up.
GOOD_SHARE = 0.99


@dataclass(frozen=True, slots=True)
class Goodput:
    """Requests of a span of time.

    Attributes:
        offered: were to start in it.
        good: of these, met their objective.
        done: good replies that ended in it, whenever they were to start. What a server still works off after the span
            is no part of its pace.
    """

    offered: int
    good: int
    done: int
    seconds: float

    @classmethod
    def of(cls, samples: Sequence[Sample], objectives: Objectives, span: Span) -> "Goodput":
        """Of the samples of a run."""
        good = [sample for sample in samples if objectives[sample.route].is_met(sample)]
        return cls(
            offered=sum(span.has(sample.at_s) for sample in samples),
            good=sum(span.has(sample.at_s) for sample in good),
            done=sum(sample.ended_s is not None and span.has(sample.ended_s) for sample in good),
            seconds=span.seconds,
        )

    @property
    def share(self) -> float | None:
        """0..1; None where nothing was offered."""
        return self.good / self.offered if self.offered else None

    @property
    def offered_per_s(self) -> float:
        """Requests that were to start, a second."""
        return self.offered / self.seconds

    @property
    def good_per_s(self) -> float:
        """Good replies, a second."""
        return self.done / self.seconds


def by_second(samples: Sequence[Sample], objectives: Objectives, seconds: float) -> NDArray[np.int64]:
    """``(ceil(seconds), 2)``: offered and good by the second of the intended start."""
    counts = np.zeros((max(1, int(np.ceil(seconds))), 2), np.int64)
    for sample in samples:
        place = min(int(sample.at_s), len(counts) - 1)
        counts[place] += 1, objectives[sample.route].is_met(sample)
    return counts
