"""What the language models do: requests by outcome, times as vLLM has them, and the queue in front."""

from collections.abc import Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.settings import BudgetSettings
from service.telemetry.buckets import budgets_s, with_edges

# vLLM's own edges (vllm/v1/metrics/buckets.py), so that its histograms and ours can stand in one panel; ours have those
# of the budgets beside them.
TTFT_SECONDS = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0, 160.0, 640.0, 2560.0),
)
ITL_SECONDS = (
    *(0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0),
    *(20.0, 40.0, 80.0),
)

Outcome = Literal["ok", "abandoned", "not_asked", "overloaded", "refused", "timeout", "unavailable", "bad_response"]


class LlmMetrics:
    """Metrics of all language models, by name.

    Args:
        budgets: those of the first text and of the next are edges of their histograms.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        budgets: BudgetSettings = BudgetSettings(),  # noqa: B008  it cannot be changed
    ) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, ("llm", *labels), registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, text, ("llm",), registry=registry, buckets=buckets)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, ("llm", *labels), registry=registry)

        limits = budgets_s(budgets)
        ttft, itl = with_edges(TTFT_SECONDS, limits.get("llm_ttft")), with_edges(ITL_SECONDS, limits.get("llm_itl"))
        self.requests = counter("quarry_llm_requests", "Requests of a language model by outcome.", "outcome")
        self.ttft = histogram("quarry_llm_ttft_seconds", "From sending to the first text.", ttft)
        self.itl = histogram("quarry_llm_itl_seconds", "Between two pieces of text.", itl)
        self.signs = counter("quarry_llm_signs", "Pieces of answers, of text or of thought.")
        self.slots = gauge("quarry_llm_slots", "Answers that are being written.")
        self.queue = gauge("quarry_llm_queue", "Answers that wait for a slot.")
        self.queue_seconds = histogram("quarry_llm_queue_seconds", "Wait for a slot.", TTFT_SECONDS)
        self.breaker_state = gauge("quarry_llm_breaker_state", "0 closed, 1 tried by the canary, 2 open.")
        self.retries = counter("quarry_llm_retries", "Requests that were sent again.")
        self.canaries = counter("quarry_llm_canaries", "Canaries by outcome.", "outcome")
        self.moves = counter("quarry_llm_moves", "Requests that another server was asked after the first had failed.")
        self.server_requests = counter(
            "quarry_llm_server_requests", "Requests of one server by outcome.", "server", "outcome"
        )
        self.server_streams = gauge("quarry_llm_server_streams", "Answers that have a place at one server.", "server")
        self.server_tokens = gauge(
            "quarry_llm_server_outstanding_tokens", "Tokens that one server has still to read and to write.", "server"
        )
        self.server_state = gauge("quarry_llm_server_state", "0 asked, 1 drained, 2 in trouble.", "server")

    def of(self, llm: str) -> "LlmMeters":
        """Those of one language model."""
        return LlmMeters(self, llm)


class LlmMeters:
    """Metrics of one language model."""

    def __init__(self, metrics: LlmMetrics, llm: str) -> None:
        self._metrics = metrics
        self._llm = llm
        self.ttft = metrics.ttft.labels(llm)
        self.itl = metrics.itl.labels(llm)
        self.signs = metrics.signs.labels(llm)
        self.queue_seconds = metrics.queue_seconds.labels(llm)
        self.retries = metrics.retries.labels(llm)
        self.moves = metrics.moves.labels(llm)

    def count(self, outcome: Outcome) -> None:
        """A request ended."""
        self._metrics.requests.labels(self._llm, outcome).inc()

    def count_canary(self, *, answered: bool) -> None:
        """A canary ended."""
        self._metrics.canaries.labels(self._llm, "ok" if answered else "failed").inc()

    def of_server(self, server: str) -> "ServerMeters":
        """Those of one of its servers."""
        return ServerMeters(self._metrics, self._llm, server)

    def follow(
        self, slots: Callable[[], float], queue: Callable[[], float], breaker_state: Callable[[], float]
    ) -> None:
        """Read the gauges from these at each scrape."""
        self._metrics.slots.labels(self._llm).set_function(slots)
        self._metrics.queue.labels(self._llm).set_function(queue)
        self._metrics.breaker_state.labels(self._llm).set_function(breaker_state)


class ServerMeters:
    """Metrics of one server of a language model."""

    def __init__(self, metrics: LlmMetrics, llm: str, server: str) -> None:
        self._metrics = metrics
        self._labels = (llm, server)

    def count(self, outcome: Outcome) -> None:
        """A request ended at this server."""
        self._metrics.server_requests.labels(*self._labels, outcome).inc()

    def follow(self, tokens: Callable[[], float], streams: Callable[[], float], state: Callable[[], float]) -> None:
        """Read the gauges from these at each scrape."""
        self._metrics.server_tokens.labels(*self._labels).set_function(tokens)
        self._metrics.server_streams.labels(*self._labels).set_function(streams)
        self._metrics.server_state.labels(*self._labels).set_function(state)
