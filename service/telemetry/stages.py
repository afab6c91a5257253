"""The stages of questions: how long they took, and whether they kept to their budgets."""

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.budget import EARLY_S
from service.settings import BudgetSettings
from service.telemetry.buckets import STAGE_SECONDS, budgets_s, with_edges
from service.telemetry.timings import Timings

_TOTAL = "total"


class StageMetrics:
    """Metrics of the stages, by name.

    Args:
        budgets: those that are counted; each is an edge of the histogram.
    """

    def __init__(self, registry: CollectorRegistry, budgets: BudgetSettings) -> None:
        self._budgets_s = budgets_s(budgets)
        self.seconds = Histogram(
            "quarry_stage_seconds",
            "Time in one stage of a question.",
            ("stage",),
            registry=registry,
            buckets=with_edges(STAGE_SECONDS, *self._budgets_s.values()),
        )
        self.budgets = Counter(
            "quarry_budget", "Questions by whether a stage kept to its budget.", ("stage", "outcome"), registry=registry
        )
        self.budget_seconds = Gauge("quarry_budget_seconds", "Budget of a stage.", ("stage",), registry=registry)
        for stage, budget_s in self._budgets_s.items():
            self.budget_seconds.labels(stage).set(budget_s)
            for outcome in ("met", "missed"):  # a rate needs the zero before the first
                self.budgets.labels(stage, outcome)

    def count(self, timings: Timings) -> None:
        """Count a request that has ended, if it was a question: no other has stages.

        One that failed early says nothing of the time that a question takes, and is counted for its stages alone.
        """
        if not timings.has_stages:
            return
        seconds = timings.seconds()
        for stage, took in seconds.items():
            self.seconds.labels(stage).observe(took)
        total_s = seconds[_TOTAL]
        if not timings.has_failed or total_s > self._budgets_s[_TOTAL] - EARLY_S:
            self._count(_TOTAL, math.inf if timings.has_failed else total_s)
        for stage, took in timings.spent.items():
            self._count(stage, took)

    def _count(self, stage: str, seconds: float) -> None:
        budget_s = self._budgets_s.get(stage)
        if budget_s is not None:
            self.budgets.labels(stage, "met" if seconds <= budget_s else "missed").inc()
