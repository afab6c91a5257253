"""What the device does: batches, tokens, waits, and how well its time is foreseen."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.device import Landed
from service.telemetry.buckets import SECONDS, TOKENS


class DeviceMetrics:
    """Metrics of the engine, by name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(name, text, labels, registry=registry, buckets=buckets)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, labels, registry=registry)

        self.batches = counter("quarry_batches", "Forwards by why they were formed.", "model", "lane", "reason")
        self.batch_tokens = histogram("quarry_batch_tokens", "Tokens of one forward.", TOKENS, "model", "lane")
        self.batch_seconds = histogram("quarry_batch_seconds", "Time of one forward.", SECONDS, "model", "lane")
        self.tokens = counter("quarry_tokens", "Tokens of inputs that were computed.", "model")
        self.computed_tokens = counter("quarry_computed_tokens", "Tokens computed, padding counted.", "model")
        self.busy_seconds = counter("quarry_device_busy_seconds", "Time with a forward on the device.")
        self.queue_seconds = histogram("quarry_queue_seconds", "Time from call to launch.", SECONDS, "lane")
        self.queue_tokens = gauge("quarry_queue_tokens", "Tokens that wait for the device.", "lane")
        self.budget_tokens = gauge("quarry_batch_budget_tokens", "Most tokens of one forward.", "model", "lane")
        self.cost_error = gauge(
            "quarry_batch_seconds_error_ratio", "Error of the foreseen time of a forward, relative to it.", "model"
        )
        self.cancelled_tokens = counter(
            "quarry_cancelled_tokens",
            "Tokens whose caller left: announced (an estimate before they were tokenised), queued or launched.",
            "stage",
        )
        self.deadline_misses = counter("quarry_deadline_misses", "Calls dropped at their deadline.", "stage")
        self.batch_failures = counter("quarry_batch_failures", "Forwards that raised.")
        self.oom_splits = counter("quarry_oom_splits", "Batches halved because they did not fit into memory.")
        self.cache_lookups = counter("quarry_query_cache_lookups", "Query embeddings looked for.", "outcome")
        self.cache_bytes = gauge("quarry_query_cache_bytes", "Memory of the cached query embeddings.")
        for stage in ("tokenize", "queue", "embed"):  # a rate needs the zero before the first
            self.deadline_misses.labels(stage)
        for stage in ("announced", "queued", "launched"):
            self.cancelled_tokens.labels(stage)

    def count(self, landed: Landed) -> None:
        """Count a batch that landed."""
        batch = landed.batch
        self.batches.labels(batch.model, batch.lane, batch.reason).inc()
        self.batch_tokens.labels(batch.model, batch.lane).observe(batch.tokens)
        self.batch_seconds.labels(batch.model, batch.lane).observe(landed.seconds)
        self.tokens.labels(batch.model).inc(batch.tokens)
        self.computed_tokens.labels(batch.model).inc(landed.computed_tokens)
        self.busy_seconds.inc(landed.busy_s)
