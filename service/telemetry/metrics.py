"""Prometheus metrics of one process, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from service.backlog import Backlog
from service.settings import BudgetSettings
from service.telemetry.access import AccessMetrics
from service.telemetry.device import DeviceMetrics
from service.telemetry.ended_requests import EndedRequests
from service.telemetry.gpu_metrics import GpuMetrics
from service.telemetry.health import HealthMetrics
from service.telemetry.index import IndexMetrics
from service.telemetry.jobs import JobMetrics
from service.telemetry.ledger import LedgerMetrics
from service.telemetry.llm import LlmMetrics
from service.telemetry.memory import MemoryMetrics
from service.telemetry.parsing import ParsingMetrics
from service.telemetry.process import ProcessMetrics
from service.telemetry.redis import RedisMetrics
from service.telemetry.results import ResultMetrics
from service.telemetry.stages import StageMetrics
from service.telemetry.traces import TraceMetrics


class Metrics:
    """Every metric by name; ``render`` is what /metrics returns.

    Args:
        budgets: of the stages; histograms have an edge at each.
    """

    def __init__(self, budgets: BudgetSettings = BudgetSettings()) -> None:  # noqa: B008  it cannot be changed
        self.registry = CollectorRegistry()
        self.stages = StageMetrics(self.registry, budgets)
        self.ended = EndedRequests(self.registry, budgets, self.stages)
        self.connections_closed = self._counter(
            "quarry_connections_closed", "Connections closed before their clients were done, by reason.", "reason"
        )
        self.problems = self._counter("quarry_problems", "Errors by code.", "code")
        self.answers = self._counter("quarry_answers", "Answers by status.", "status")
        self.degraded = self._counter("quarry_degraded", "Rungs that answers went down.", "rung")
        self.citations_invalid = self._counter("quarry_citations_invalid", "Markers that named no passage.")
        self.rechecks_failed = self._counter(
            "quarry_rechecks_failed", "Rows of an index that their store did not confirm.", "cause"
        )
        self.searches_without_lexical = self._counter(
            "quarry_searches_without_lexical", "Searches that were to look for words and could not.", "reason"
        )
        self.reranks_skipped = self._counter(
            "quarry_reranks_skipped", "Searches whose hits were to be reranked, and none was.", "reason"
        )
        self.reranks_cut = self._counter(
            "quarry_reranks_cut", "Searches of whose hits fewer were reranked than were to be.", "reason"
        )
        self.backlog_questions = self._gauge("quarry_backlog_questions", "Questions that are being searched for.")
        self.backlog_wait_seconds = self._gauge(
            "quarry_backlog_wait_seconds", "What one more question would wait behind them."
        )
        self.content_matches = self._counter(
            "quarry_content_matches", "What content rules found.", "rule", "action", "where"
        )
        self.device = DeviceMetrics(self.registry)
        self.access = AccessMetrics(self.registry)
        self.documents = self._counter("quarry_documents", "Document writes by outcome.", "outcome")
        self.parsing = ParsingMetrics(self.registry)
        self.index = IndexMetrics(self.registry)
        self.health = HealthMetrics(self.registry)
        self.jobs = JobMetrics(self.registry)
        self.llm = LlmMetrics(self.registry, budgets)
        self.gpu = GpuMetrics(self.registry)
        self.ledger = LedgerMetrics(self.registry)
        self.memory = MemoryMetrics(self.registry)
        self.redis = RedisMetrics(self.registry)
        self.results = ResultMetrics(self.registry)
        self.traces = TraceMetrics(self.registry)
        self.process = ProcessMetrics(self.registry)

    def count_content(self, rule: str, action: str, where: str) -> None:
        """A content rule matched."""
        self.content_matches.labels(rule, action, where).inc()

    def follow(self, backlog: Backlog) -> None:
        """Tell of it whenever somebody looks."""
        self.backlog_questions.set_function(lambda: backlog.count)
        self.backlog_wait_seconds.set_function(lambda: backlog.wait_s)

    def render(self) -> bytes:
        """The text exposition format, of all that has happened until now."""
        self.ended.fold()
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)
