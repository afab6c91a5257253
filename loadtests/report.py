"""Report: a load test as one JSON object."""

import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from loadtests.budgets import Budgets
from loadtests.capacity import Step
from loadtests.figures import Figures
from loadtests.goodput import by_second
from loadtests.load_test import Request
from loadtests.measured import Measured
from loadtests.own_server import SETTINGS
from loadtests.verdict import Verdict
from service.cli.bench.machine import processor

_LIBRARIES = ("quarry", "locust", "geventhttpclient")


@dataclass(frozen=True, slots=True)
class Report:
    """What was offered, what came of it, and what it is held to.

    Attributes:
        mix: whose weights the routes were drawn by.
        server: its address; None is one of the load test's own.
    """

    request: Request
    mix: str
    server: str | None
    measured: Measured
    figures: Figures
    verdict: Verdict
    budgets: Budgets

    def as_json(self) -> dict[str, Any]:
        """One object, with everything that the page shows."""
        run = self.measured.run
        return {
            "when": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {name: version(name) for name in _LIBRARIES},
            "processor": processor(),
            "cores": os.cpu_count(),
            "server": self.server,
            "own_settings": {} if self.server else {name: list(told) for name, told in SETTINGS.items()},
            "profile": self.request.profile.value,
            "mix": self.mix,
            "seed": self.request.seed,
            "passed": self.verdict.passed,
            "verdict": str(self.verdict),
            "budgets": [asdict(check) | {"met": check.met} for check in self.verdict.checks],
            "objectives": {route.value: each.model_dump() for route, each in self.budgets.objectives.items()},
            "figures": dict(self.figures.values),
            "latency_ms": {route.value: kinds for route, kinds in self.figures.latency_ms.items()},
            "outcomes": {outcome.value: count for outcome, count in self.figures.outcomes.items()},
            "slopes": {name: slope and asdict(slope) for name, slope in self.figures.slopes.items()},
            "capacity_per_s": self.measured.capacity,
            "peak_good_per_s": self.measured.peak_good_per_s,
            "steps": [_step(step) for step in self.measured.steps],
            "phases": [asdict(phase) for phase in run.shape.phases],
            "offered": len(run.samples),
            "driver_cpu_share": run.driver_cpu_s / run.shape.seconds,
            "seconds": by_second(run.samples, self.budgets.objectives, run.shape.seconds).tolist(),
            "readings": [asdict(reading) for reading in run.readings],
        }


def _step(step: Step) -> dict[str, float | int | bool | None]:
    goodput = step.goodput
    return {
        "rate": step.rate,
        "seconds": goodput.seconds,
        "offered": goodput.offered,
        "goodput_share": goodput.share,
        "good_per_s": step.good_per_s,
        "keeps_up": step.keeps_up,
        "holds": step.holds,
    }
