"""Connections: what all connections of a server share, and whom there is room for."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Protocol

from service.file_shares import connections_by_files
from service.server_settings import ServerSettings
from service.telemetry.metrics import Metrics

_REASONS = ("head_timeout", "reply_not_taken", "evicted", "crowded", "malformed", "head_too_large")


class Waiting(Hashable, Protocol):
    """A connection that asks for nothing at the moment."""

    def give_way(self) -> None:
        """Close at once."""


@dataclass(frozen=True, slots=True)
class ConnectionBounds:
    """What one connection may take.

    Attributes:
        head_s: for a whole head of a request.
        stall_s: that it may take nothing of what is written for it.
        head_bytes: of the line and the fields of a request, and of what follows a chunked body.
        head_fields: how many.
        pipelined: requests that may wait behind the one that is answered.
    """

    head_s: float
    stall_s: float
    head_bytes: int = 64 * 1024
    head_fields: int = 256
    pipelined: int = 32


class Connections:
    """Who is connected, in the order in which they began to wait.

    Args:
        bounds: of each.
        most: that may be open at once.
        metrics: where those that were closed for a reason are counted.
    """

    def __init__(self, bounds: ConnectionBounds, most: int, metrics: Metrics) -> None:
        self.bounds = bounds
        self._most = most
        self._metrics = metrics
        self._waiting: dict[Waiting, None] = {}
        for reason in _REASONS:  # a rate needs the zero before the first
            metrics.connections_closed.labels(reason)

    def make_room(self, count: int) -> bool:
        """Whether one more may stay, which makes ``count`` of them.

        Where they are too many, the one that has waited longest for its client gives way: whoever asks for nothing
        cannot keep out those who do.
        """
        if count <= self._most:
            return True
        oldest = next(iter(self._waiting), None)
        if oldest is None:
            return False
        self.leave(oldest)
        self.count("evicted")
        oldest.give_way()
        return True

    def wait(self, connection: Waiting) -> None:
        """It has nothing to be answered now."""
        self._waiting.pop(connection, None)
        self._waiting[connection] = None

    def leave(self, connection: Waiting) -> None:
        """It does not wait any more."""
        self._waiting.pop(connection, None)

    def count(self, reason: str) -> None:
        """One was closed for ``reason``, and not because its client was done."""
        self._metrics.connections_closed.labels(reason).inc()


def connections(settings: ServerSettings, metrics: Metrics, most: int | None = None) -> Connections:
    """As the settings and the system's limit on open files have it, unless ``most`` is given."""
    bounds = ConnectionBounds(settings.head_timeout_s, settings.body_timeout_s)
    return Connections(bounds, most or settings.max_connections or connections_by_files(), metrics)
