"""What reading files takes, and what comes of it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Histogram

from service.errors import (
    DocumentTooLargeError,
    ParserLostError,
    ParserUnavailableError,
    UnreadableDocumentError,
    UnsupportedMediaTypeError,
)
from service.telemetry.buckets import SECONDS

_OUTCOMES: dict[type[BaseException], str] = {
    UnsupportedMediaTypeError: "unsupported",
    UnreadableDocumentError: "unreadable",
    DocumentTooLargeError: "too_large",
    ParserUnavailableError: "unavailable",
    ParserLostError: "lost",
    asyncio.CancelledError: "cancelled",
}


class ParsingMetrics:
    """Metrics of the parsers, by name."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.seconds = Histogram(
            "quarry_parse_seconds", "Time to read one file.", ("type",), registry=registry, buckets=SECONDS
        )
        self.outcomes = Counter("quarry_parses", "Files read, by outcome.", ("type", "outcome"), registry=registry)
        self.starts = Counter("quarry_parser_starts", "Fork servers of the parsers started.", registry=registry)

    @contextmanager
    def measured(self, type_: str) -> Iterator[None]:
        """Time and count the reading of a file."""
        start, outcome = time.perf_counter(), "ok"
        try:
            yield
        except BaseException as error:
            outcome = _OUTCOMES.get(type(error), "failed")
            raise
        finally:
            self.seconds.labels(type_).observe(time.perf_counter() - start)
            self.outcomes.labels(type_, outcome).inc()
