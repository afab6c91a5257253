"""Stages and their budgets as metrics."""

import asyncio
import math

import pytest
from prometheus_client import CollectorRegistry

from service.budget import Deadline
from service.errors import DeadlineExceededError
from service.settings import BudgetSettings
from service.telemetry.buckets import SECONDS
from service.telemetry.ended_requests import EndedRequest
from service.telemetry.llm import ITL_SECONDS, TTFT_SECONDS, LlmMetrics
from service.telemetry.metrics import Metrics
from service.telemetry.stages import StageMetrics
from service.telemetry.timings import Timings

BUDGETS = BudgetSettings(total_ms=700, embed_ms=37, search_ms=90, llm_ttft_ms=333, llm_itl_ms=77)
LIMITS_S = {
    "total": 0.7, "embed": 0.037, "search": 0.09, "rerank": 0.5, "rewrite": 5.0, "llm_ttft": 0.333, "llm_itl": 0.077,
}  # fmt: skip


class Counted:
    """What was counted of some requests.

    Args:
        elapsed_s: that each of them took.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, elapsed_s: float = 0.0) -> None:
        self.now = 0.0
        monkeypatch.setattr("service.telemetry.timings.time.perf_counter", lambda: self.now)
        self.registry = CollectorRegistry()
        self.metrics = StageMetrics(self.registry, BUDGETS)
        self.elapsed_s = elapsed_s

    def asked(self, *, has_failed: bool = False, **spent: float) -> None:
        """A request that spent these seconds against budgets."""
        timings = Timings()
        timings.add("queue", 0.0)
        timings.has_failed = has_failed
        for stage, seconds in spent.items():
            timings.spend(stage, seconds)
        self.now += self.elapsed_s
        self.metrics.count(timings)

    def of(self, stage: str) -> tuple[float | None, float | None]:
        """Met and missed."""
        sample = self.registry.get_sample_value
        met, missed = (sample("quarry_budget_total", {"stage": stage, "outcome": each}) for each in ("met", "missed"))
        return met, missed


def edges(registry: CollectorRegistry, name: str, **labels: str) -> list[float]:
    samples = [sample for metric in registry.collect() for sample in metric.samples]
    return [
        float(sample.labels["le"])
        for sample in samples
        if sample.name == f"{name}_bucket" and labels.items() <= sample.labels.items()
    ]


@pytest.mark.parametrize("stage", LIMITS_S)
def test_a_stage_is_met_up_to_its_budget_and_missed_beyond(monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    limit_s = LIMITS_S[stage]
    for took, expected in ((limit_s, (1, 0)), (limit_s + 1e-6, (0, 1)), (math.inf, (0, 1))):
        if stage != "total":
            counted = Counted(monkeypatch)
            counted.asked(**{stage: took})
        elif math.isfinite(took):
            counted = Counted(monkeypatch, took)
            counted.asked()
        assert counted.of(stage) == expected


def test_every_budget_is_there_before_the_first_request_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    assert {stage: counted.of(stage) for stage in LIMITS_S} == dict.fromkeys(LIMITS_S, (0, 0))
    for stage, limit_s in LIMITS_S.items():
        assert counted.registry.get_sample_value("quarry_budget_seconds", {"stage": stage}) == limit_s
    counted.asked(boost=1.0)
    assert counted.of("boost") == (None, None)


def test_a_request_without_stages_is_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch, elapsed_s=1000)
    counted.metrics.count(Timings())
    assert counted.of("total") == (0, 0)
    assert edges(counted.registry, "quarry_stage_seconds", stage="total") == []


@pytest.mark.parametrize(("elapsed_s", "expected"), [(0.2, (0, 0)), (0.695, (0, 1)), (0.8, (0, 1))])
def test_a_failure_counts_when_time_was_its_cause(
    monkeypatch: pytest.MonkeyPatch, elapsed_s: float, expected: tuple[int, int]
) -> None:
    counted = Counted(monkeypatch, elapsed_s)
    counted.asked(has_failed=True, embed=math.inf)
    assert counted.of("total") == expected
    assert counted.of("embed") == (0, 1)


def test_the_longest_of_several_is_held_to_the_budget() -> None:
    timings = Timings()
    for seconds in (0.2, 0.5, 0.3):
        timings.spend("llm_itl", seconds)
    assert timings.spent == {"llm_itl": 0.5}


def test_histograms_have_an_edge_at_each_budget_and_below_a_millisecond(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted(monkeypatch)
    counted.asked()
    found = edges(counted.registry, "quarry_stage_seconds", stage="total")
    assert found == sorted(set(found))
    assert {*LIMITS_S.values(), *SECONDS} <= set(found)
    assert len([edge for edge in found if edge < 0.001]) >= 4


def test_edges_of_language_models_are_those_of_vllm_and_the_budgets() -> None:
    registry = CollectorRegistry()
    meters = LlmMetrics(registry, BUDGETS).of("main")
    meters.ttft.observe(1)
    meters.itl.observe(1)
    assert set(edges(registry, "quarry_llm_ttft_seconds")) == {*TTFT_SECONDS, 0.333, math.inf}
    assert set(edges(registry, "quarry_llm_itl_seconds")) == {*ITL_SECONDS, 0.077, math.inf}


def test_requests_have_an_edge_at_the_total() -> None:
    metrics = Metrics(BUDGETS)

    async def scenario() -> None:
        metrics.ended.add(EndedRequest("r", "none", "POST", "/v1/search", 200, Timings()))
        metrics.ended.fold()

    asyncio.run(scenario())
    assert set(edges(metrics.registry, "quarry_request_seconds")) == {*SECONDS, 0.7, math.inf}


class TestBudgeted:
    """Blocks that are held against a budget."""

    def test_what_ends_well_is_what_it_took(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [5.0]
        monkeypatch.setattr("service.telemetry.timings.time.perf_counter", lambda: now[0])
        timings = Timings()
        with timings.budgeted("search", Deadline.after(1000).within(500, "budgets.search_ms")):
            now[0] += 0.25
        assert timings.spent == {"search": 0.25}

    @pytest.mark.parametrize(("budget_ms", "expected"), [(1, {"search": math.inf}), (600_000, {}), (None, {})])
    def test_what_fails_counts_where_the_budget_ended_it(
        self, budget_ms: int | None, expected: dict[str, float]
    ) -> None:
        timings = Timings()

        async def late() -> None:
            limit = Deadline.after(20).within(budget_ms, "budgets.search_ms")
            with timings.budgeted("search", limit):
                async with limit.enforced("search"):
                    await asyncio.Event().wait()

        with pytest.raises(DeadlineExceededError):
            asyncio.run(late())
        assert timings.spent == expected

    def test_what_fails_early_is_not_counted(self) -> None:
        timings = Timings()
        limit = Deadline.after(600_000).within(500_000, "budgets.search_ms")
        with pytest.raises(ValueError, match="no"), timings.budgeted("search", limit):
            raise ValueError("no")
        assert timings.spent == {}
