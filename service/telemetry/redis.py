"""Metrics of what is shared by way of Redis."""

from collections.abc import Callable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

Purpose = Literal["limits", "keys", "results", "probe"]
CallOutcome = Literal["ok", "failed", "skipped"]


class RedisMetrics:
    """A call that failed was waited for, ``redis.timeout_ms`` at most; one that was skipped was not."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.calls = Counter(
            "quarry_redis_calls",
            "Calls of Redis by what for; skipped is one that was not made, as the server was lost.",
            ["purpose", "outcome"],
            registry=registry,
        )
        for purpose in get_args(Purpose):  # a rate needs the zero before the first
            for outcome in get_args(CallOutcome):
                self.calls.labels(purpose, outcome)
        self._keys_age = Gauge(
            "quarry_keys_age_seconds",
            "Since the keys of another process were last known to be its; 0 where they are this one's own.",
            registry=registry,
        )

    def follow_keys(self, age_s: Callable[[], float]) -> None:
        """Tell of it whenever somebody looks."""
        self._keys_age.set_function(age_s)
