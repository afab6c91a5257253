"""EndedRequests: requests that have ended, counted and logged many at a time."""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Histogram

from service.settings import BudgetSettings
from service.telemetry.buckets import SECONDS, budgets_s, with_edges
from service.telemetry.stages import StageMetrics
from service.telemetry.timings import Timings

FOLD_AFTER_S = 0.1
# A loop that is behind by so many has better things to do than to wait for more.
_MOST = 256
_log = logging.getLogger("quarry.requests")


@dataclass(frozen=True, slots=True)
class EndedRequest:
    """What is counted and logged of one.

    Attributes:
        key: the id of the caller's.
        status: 0 where it ended without a reply.
        timings: its stopwatch, which has ended.
        at: seconds since the epoch.
    """

    request_id: str
    key: str
    method: str
    route: str
    status: int
    timings: Timings
    at: float = field(default_factory=time.time)


class EndedRequests:
    """Metrics of requests and of their stages, and the line of each in the log.

    They wait for a tenth of a second at most, or for who asks for the metrics: one that is counted by itself, between
    two forwards, finds code and counters gone from the processor's caches, and pays several times what counting costs.
    """

    def __init__(self, registry: CollectorRegistry, budgets: BudgetSettings, stages: StageMetrics) -> None:
        labels = ("route", "method", "status")
        self._count = Counter("quarry_requests", "Replies by route and status.", labels, registry=registry)
        self._seconds = Histogram(
            "quarry_request_seconds",
            "Time to the end of a reply.",
            ("route",),
            registry=registry,
            buckets=with_edges(SECONDS, budgets_s(budgets)["total"]),
        )
        self._stages = stages
        self._waiting: deque[EndedRequest] = deque()
        self._is_due = False

    def add(self, ended: EndedRequest) -> None:
        """On the event loop."""
        self._waiting.append(ended)
        if len(self._waiting) >= _MOST:
            self.fold()
        elif not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(FOLD_AFTER_S, self._fold_in_time)

    def fold(self) -> None:
        """Count and log what waits."""
        while self._waiting:
            self._fold(self._waiting.popleft())

    def _fold_in_time(self) -> None:
        self._is_due = False
        self.fold()

    def _fold(self, ended: EndedRequest) -> None:
        timings = ended.timings
        self._count.labels(ended.route, ended.method, ended.status).inc()
        self._seconds.labels(ended.route).observe(timings.elapsed())
        timings.has_failed = timings.has_failed or not 0 < ended.status < HTTPStatus.BAD_REQUEST
        self._stages.count(timings)
        if _log.isEnabledFor(logging.INFO):
            _log.handle(_record(ended))


def _record(ended: EndedRequest) -> logging.LogRecord:
    """Its line, of the time when it ended."""
    timings = ended.timings
    said = {
        "request_id": ended.request_id,
        "key": ended.key,
        "method": ended.method,
        "route": ended.route,
        "status": ended.status,
        "milliseconds": round(timings.elapsed() * 1000, 3),
        **timings.counts,
    }
    optional = {"trace_id": timings.trace.trace_id if timings.trace else "", "problem": timings.problem}
    extra = said | {name: value for name, value in optional.items() if value}
    record = _log.makeRecord(_log.name, logging.INFO, __file__, 0, "request", (), None, extra=extra)
    record.created, record.msecs = ended.at, ended.at % 1 * 1000
    return record
