"""Metrics of remembered results."""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

Lookup = Literal["hit", "miss", "invalid", "stale", "lost"]


class ResultMetrics:
    """Lookups by what came of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lookups = Counter(
            "quarry_result_cache_lookups",
            "Results looked for: invalid is what is none, stale what the store does not confirm, lost without Redis.",
            ["outcome"],
            registry=registry,
        )
        for outcome in get_args(Lookup):  # a rate needs the zero before the first
            self.lookups.labels(outcome)
        self.bytes = Gauge("quarry_result_cache_bytes", "Memory of results in this process.", registry=registry)
