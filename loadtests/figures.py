"""Figures: what a load test comes to, by the names that budgets have too."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from loadtests.goodput import Goodput
from loadtests.measured import Measured, Run
from loadtests.objective import Objectives
from loadtests.profile import Profile
from loadtests.reading import Figure, Reading, series
from loadtests.recovery import recovery_s
from loadtests.route import Route
from loadtests.sample import Outcome, Sample
from loadtests.shape import Span
from loadtests.slope import Slope

_MIB = 1 << 20
_PERCENTILES = {"p50": 50, "p90": 90, "p99": 99}
# What the overload of a profile is called.
OVER = {Profile.OVERLOAD: "overload", Profile.SPIKE: "spike"}


def _resident_mib(reading: Reading) -> float | None:
    return None if reading.resident_bytes is None else reading.resident_bytes / _MIB


# What may grow, by the name of its budget.
GROWTH: Mapping[str, Figure] = MappingProxyType(
    {
        "memory_mib_per_hour": _resident_mib,
        "descriptors_per_hour": lambda reading: reading.descriptors,
        "threads_per_hour": lambda reading: reading.threads,
    }
)


@dataclass(frozen=True, slots=True)
class Figures:
    """All of them; one that is None was not measured.

    Attributes:
        values: by the name of a budget.
        latency_ms: percentiles by route, in it by ``ttft``, ``itl`` and ``total``, of all but sheds and missed starts.
        outcomes: requests by their class.
        slopes: of the server's figures, by the name of their budget.
    """

    values: Mapping[str, float | None]
    latency_ms: Mapping[Route, Mapping[str, Mapping[str, float]]]
    outcomes: Mapping[Outcome, int]
    slopes: Mapping[str, Slope | None]

    @classmethod
    def of(cls, measured: Measured, objectives: Objectives) -> "Figures":
        """Of a load test."""
        run = measured.run
        outcomes = Counter(sample.outcome for sample in run.samples)
        slopes = _slopes(run)
        # The least that the readings bear out: where they scatter, no growth is shown.
        grown = {name: None if slope is None else max(0.0, slope.low) for name, slope in slopes.items()}
        shares = _shares(run.samples, outcomes)
        values = shares | grown | _goodput(measured, objectives) | {"capacity_per_s": measured.capacity}
        return cls(values, _latency(run.samples), {each: outcomes[each] for each in Outcome}, slopes)


def _shares(samples: Sequence[Sample], outcomes: Mapping[Outcome, int]) -> dict[str, float | None]:
    offered = len(samples)
    counts = {
        "missed_share": outcomes[Outcome.MISSED],
        "error_share": sum(count for outcome, count in outcomes.items() if outcome.is_failure),
        "shed_share": outcomes[Outcome.SHED],
        "degraded_share": sum(sample.is_degraded for sample in samples),
    }
    return {name: count / offered if offered else None for name, count in counts.items()}


def _goodput(measured: Measured, objectives: Objectives) -> dict[str, float | None]:
    run = measured.run
    whole = Goodput.of(run.samples, objectives, Span(0.0, run.shape.seconds))
    found: dict[str, float | None] = dict.fromkeys(("goodput_of_peak", "found_share", "recovery_s"))
    found["goodput_share"] = whole.share
    if name := OVER.get(measured.profile):
        over = Goodput.of(run.samples, objectives, run.shape.span(name))
        peak = measured.peak_good_per_s
        if peak:
            found["goodput_of_peak"] = over.good_per_s / peak
            found["found_share"] = min(1.0, peak / over.good_per_s) if over.done else 1.0
        found["recovery_s"] = recovery_s(run.samples, objectives, run.shape.span("recovery"))
    return found


def _slopes(run: Run) -> dict[str, Slope | None]:
    return {name: Slope.of(series(run.readings, figure)) for name, figure in GROWTH.items()}


def _latency(samples: Sequence[Sample]) -> dict[Route, Mapping[str, Mapping[str, float]]]:
    found: dict[Route, Mapping[str, Mapping[str, float]]] = {}
    for route in Route:
        here = [sample for sample in samples if sample.route is route and sample.outcome is not Outcome.SHED]
        kinds = {
            "ttft": [sample.ttft_ms for sample in here if sample.ttft_ms is not None],
            "itl": [gap for sample in here for gap in sample.itl_ms],
            "total": [sample.total_ms for sample in here if sample.total_ms is not None],
        }
        if told := {name: _percentiles(values) for name, values in kinds.items() if values}:
            found[route] = told
    return found


def _percentiles(values: Sequence[float]) -> Mapping[str, float]:
    found = np.percentile(values, list(_PERCENTILES.values()))
    return dict(zip(_PERCENTILES, found.tolist(), strict=True)) | {"max": max(values)}
