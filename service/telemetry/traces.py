"""Traces as the rest of the service sees them: nothing of OpenTelemetry is needed where they are off.

A span has names, numbers and ids, never content: no question, no answer, no text of a document.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol, TypeAlias

from prometheus_client import CollectorRegistry, Counter

Attributes: TypeAlias = Mapping[str, str | int | float]

SERVICE = "quarry"
NONE: Attributes = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Served:
    """A model as spans name it.

    Attributes:
        provider: whose protocol its server speaks, or ``quarry`` where it runs in this process.
        address: of the server: host or path of a socket.
        port: None on a socket, or where it is the scheme's own.
    """

    model: str
    provider: str
    address: str
    port: int | None = None


def embedding_span(model: str, tokens: int) -> Attributes:
    """Of texts that a model of this process embedded."""
    return {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": SERVICE,
        "gen_ai.request.model": model,
        "gen_ai.usage.input_tokens": tokens,
    }


class ChatSpan(Protocol):
    """One call of a language model.

    Attributes:
        traceparent: W3C's header for the server; empty where nothing is traced.
    """

    traceparent: str

    def answered(self, model: str, finish: str | None, usage: Mapping[str, int]) -> None:
        """What came of it; what the server did not say is left out."""


class RequestTrace(Protocol):
    """The trace of one request, which is open until ``end``.

    Attributes:
        trace_id: 32 hexadecimal digits.
    """

    trace_id: str

    def stage(self, name: str, seconds: float, attributes: Attributes = NONE, ago_s: float = 0.0) -> None:
        """A stage took so long and ended ``ago_s`` before now."""

    def chat(self, served: Served) -> AbstractContextManager[ChatSpan]:
        """A call of a language model that takes as long as the block; how that fails is noted by its type."""

    def end(self, name: str, status: int, attributes: Attributes, problem: str = "") -> None:
        """The request has ended; status 0 is one without a reply, ``problem`` the code of what ended its stream."""


class Traces(Protocol):
    """Begins them."""

    def begin(self, headers: Mapping[str, str]) -> RequestTrace:
        """Of a request with these headers, of which W3C's ``traceparent`` and ``tracestate`` count."""


class _NoChat:
    traceparent = ""

    def answered(self, model: str, finish: str | None, usage: Mapping[str, int]) -> None:
        """Nobody wants to know."""


_NO_CHAT = _NoChat()


@contextmanager
def traced_chat(trace: RequestTrace | None, served: Served) -> Iterator[ChatSpan]:
    """The call's span; one that notes nothing where there is no trace."""
    if trace is None:
        yield _NO_CHAT
        return
    with trace.chat(served) as span:
        yield span


class TraceMetrics:
    """What became of spans."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.spans = Counter("quarry_trace_spans", "Spans by what became of them.", ["outcome"], registry=registry)
        for outcome in ("exported", "failed", "dropped"):  # a rate needs the zero before the first
            self.spans.labels(outcome)
