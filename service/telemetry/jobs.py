"""Jobs in numbers."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class JobMetrics:
    """Of the open jobs, and of those that ended."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._open = Gauge("quarry_jobs", "Jobs that have not ended.", ("status",), registry=registry)
        self._oldest = Gauge("quarry_jobs_oldest_seconds", "Age of the oldest of them.", registry=registry)
        self._bytes = Gauge("quarry_jobs_raw_bytes", "Their raw inputs on the disk.", registry=registry)
        self._ended = Counter("quarry_jobs_ended", "Jobs that ended.", ("kind", "status"), registry=registry)

    def follow(self, queued: int, running: int, oldest_s: float, raw_bytes: int) -> None:
        """Set the gauges."""
        self._open.labels("queued").set(queued)
        self._open.labels("running").set(running)
        self._oldest.set(oldest_s)
        self._bytes.set(raw_bytes)

    def ended(self, kind: str, status: str) -> None:
        """Count a job."""
        self._ended.labels(kind, status).inc()
