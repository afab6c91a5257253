"""Metrics of keys: what each asked for, and what it was refused."""

from prometheus_client import CollectorRegistry, Counter


class AccessMetrics:
    """By the id of the key, of which there are as many as were made."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter("quarry_key_requests", "Requests that showed a key.", ["key"], registry=registry)
        self.tokens = Counter(
            "quarry_key_tokens", "Tokens that models read and wrote for a key.", ["key"], registry=registry
        )
        self.refused = Counter(
            "quarry_rate_limited", "Requests refused by a limit of a key.", ["key", "limit"], registry=registry
        )
