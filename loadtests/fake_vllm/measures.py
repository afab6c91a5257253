"""The metrics of the real server that anyone would scrape, under its names."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from loadtests.fake_vllm.scheduler import Scheduler

_TTFT_S = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
    20,
    40,
    80,
    160,
    640,
    2560,
)
_TOKEN_S = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
_REQUEST_S = (0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)
_LABELS = ("engine", "model_name")


class Measures:
    """Counts and times of all requests."""

    def __init__(self, model: str, scheduler: Scheduler) -> None:
        self._registry = CollectorRegistry()
        self._model = model
        self._gauge("num_requests_running", lambda: scheduler.running)
        self._gauge("num_requests_waiting", lambda: scheduler.waiting)
        self._gauge("kv_cache_usage_perc", lambda: 0)
        self.prefix_queries = self._counter("prefix_cache_queries")
        self.prefix_hits = self._counter("prefix_cache_hits")
        self.preemptions = self._counter("num_preemptions")
        self.prompt_tokens = self._counter("prompt_tokens")
        self.generation_tokens = self._counter("generation_tokens")
        self.ttft_s = self._histogram("time_to_first_token_seconds", _TTFT_S)
        self.itl_s = self._histogram("inter_token_latency_seconds", _TOKEN_S)
        self.queue_s = self._histogram("request_queue_time_seconds", _REQUEST_S)
        self.e2e_s = self._histogram("e2e_request_latency_seconds", _REQUEST_S)

    def exposition(self) -> bytes:
        """The text of ``GET /metrics``."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, read: Callable[[], float]) -> None:
        gauge = Gauge(f"vllm:{name}", name, _LABELS, registry=self._registry)
        gauge.labels("0", self._model).set_function(read)

    def _counter(self, name: str) -> Counter:
        return Counter(f"vllm:{name}", name, _LABELS, registry=self._registry).labels("0", self._model)

    def _histogram(self, name: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(f"vllm:{name}", name, _LABELS, buckets=buckets, registry=self._registry)
        return histogram.labels("0", self._model)
