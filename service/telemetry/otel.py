"""Traces by OpenTelemetry's SDK, sent by OTLP over HTTP. Imported only where they are on: the SDK is an extra."""

import logging
import threading
import time
from asyncio import to_thread
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Self

import requests
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.telemetry.traces import NONE, SERVICE, Attributes, ChatSpan, Served, TraceMetrics
from service.trace_settings import TraceSettings

_EXPORT_S = 3.0
_END_S = 5.0
_BATCH = 512
_SERVER_ERROR = 500
_NS = 1_000_000_000
_PROPAGATOR = TraceContextTextMapPropagator()

_log = logging.getLogger("quarry.traces")


class OtelTraces:
    """An async context manager that owns what sends spans.

    Args:
        exporter: None sends to the settings' endpoint.
    """

    def __init__(self, settings: TraceSettings, metrics: TraceMetrics, exporter: SpanExporter | None = None) -> None:
        sends = _Counted(exporter or _exporter(settings), metrics)
        self._processor = _Bounded(sends, settings.max_queued, metrics)
        resource = Resource({"service.name": SERVICE, "service.version": version("quarry")})
        sampler = ParentBased(TraceIdRatioBased(settings.sample))
        self._provider = TracerProvider(sampler, resource, shutdown_on_exit=False)
        self._provider.add_span_processor(self._processor)
        self._tracer = self._provider.get_tracer(SERVICE)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send what waits, as far as the collector takes it soon."""
        # A daemon: one that waits for a collector must not keep the process.
        ending = threading.Thread(target=self._provider.shutdown, name="quarry-traces", daemon=True)
        ending.start()
        await to_thread(ending.join, _END_S)

    def flush(self) -> None:
        """Send what waits now; blocks until it is sent or lost."""
        self._processor.force_flush()

    def begin(self, headers: Mapping[str, str]) -> "OtelTrace":
        """As ``Traces`` has it."""
        carrier = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
        parent = _PROPAGATOR.extract(carrier, Context()) if carrier else Context()
        return OtelTrace(self._tracer, self._tracer.start_span("request", parent, SpanKind.SERVER))


class OtelTrace:
    """As ``RequestTrace`` has it."""

    def __init__(self, tracer: Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._inside = set_span_in_context(span, Context())
        self.trace_id = format_trace_id(span.get_span_context().trace_id)

    def stage(self, name: str, seconds: float, attributes: Attributes = NONE, ago_s: float = 0.0) -> None:
        """A span of its own, made when it is over."""
        if not self._span.is_recording():
            return
        ended = time.time_ns() - int(ago_s * _NS)
        began = ended - int(seconds * _NS)
        self._tracer.start_span(name, self._inside, attributes=dict(attributes), start_time=began).end(ended)

    @contextmanager
    def chat(self, served: Served) -> Iterator[ChatSpan]:
        """By the semantic conventions of generative AI."""
        attributes: dict[str, str | int] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": served.provider,
            "gen_ai.request.model": served.model,
            "server.address": served.address,
        }
        if served.port is not None:
            attributes["server.port"] = served.port
        span = self._tracer.start_span(f"chat {served.model}", self._inside, SpanKind.CLIENT, attributes)
        try:
            yield _OtelChat(span)
        except Exception as error:  # one that is closed or cancelled ended on purpose
            _fail(span, type(error).__qualname__)
            raise
        finally:
            span.end()

    def end(self, name: str, status: int, attributes: Attributes, problem: str = "") -> None:
        """A reply of 5xx is an error, as the conventions of HTTP have it, and so are none and a stream that failed."""
        self._span.update_name(name)
        self._span.set_attributes(dict(attributes))
        if status:
            self._span.set_attribute("http.response.status_code", status)
        if not status or status >= _SERVER_ERROR:
            _fail(self._span, str(status) if status else "no_reply")
        elif problem:
            _fail(self._span, problem)
        self._span.end()


class _OtelChat:
    """As ``ChatSpan`` has it."""

    def __init__(self, span: Span) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(span, Context()))
        self.traceparent = carrier.get("traceparent", "")

    def answered(self, model: str, finish: str | None, usage: Mapping[str, int]) -> None:
        """As far as the server said."""
        if model:
            self._span.set_attribute("gen_ai.response.model", model)
        if finish:
            self._span.set_attribute("gen_ai.response.finish_reasons", [finish])
        for ours, theirs in (("input", "prompt_tokens"), ("output", "completion_tokens")):
            if theirs in usage:
                self._span.set_attribute(f"gen_ai.usage.{ours}_tokens", usage[theirs])


def _fail(span: Span, kind: str) -> None:
    """What an error says may be content; its type is not."""
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)


def _exporter(settings: TraceSettings) -> SpanExporter:
    session = requests.Session()
    session.trust_env = False  # the endpoint is a setting, and so would be a proxy
    return OTLPSpanExporter(settings.endpoint, timeout=_EXPORT_S, session=session)


class _Counted(SpanExporter):
    """Counts what is sent and what cannot be, and says once that something cannot.

    Attributes:
        taken: spans that were handed to it, whatever became of them.
    """

    def __init__(self, exporter: SpanExporter, metrics: TraceMetrics) -> None:
        self._exporter = exporter
        self._spans = metrics.spans
        self._is_failing = False
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """On the thread of the SDK."""
        self.taken += len(spans)
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # the edge of a thread: whatever an exporter meets, the next batch is tried
            result = SpanExportResult.FAILURE
            _log.debug("spans could not be sent: %s", type(error).__name__)
        is_failing = result is not SpanExportResult.SUCCESS
        self._spans.labels("failed" if is_failing else "exported").inc(len(spans))
        if is_failing and not self._is_failing:
            _log.warning(
                "spans cannot be sent; they are counted and dropped until they can", extra={"spans": len(spans)}
            )
        self._is_failing = is_failing
        return result

    def shutdown(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()


class _Bounded(SpanProcessor):
    """The SDK's batches behind a bound that is counted: the SDK drops what is too much in silence.

    Args:
        most: spans that wait.
    """

    def __init__(self, exporter: _Counted, most: int, metrics: TraceMetrics) -> None:
        self._exporter = exporter
        self._batches = BatchSpanProcessor(exporter, max_queue_size=most, max_export_batch_size=_BATCH)
        self._most = most
        self._spans = metrics.spans
        self._given = 0

    def on_end(self, span: ReadableSpan) -> None:
        """On the event loop."""
        if span.context is None or not span.context.trace_flags.sampled:
            return
        if self._given - self._exporter.taken >= self._most:
            self._spans.labels("dropped").inc()
            return
        self._given += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        """Send what waits."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """As the SDK has it."""
        return self._batches.force_flush(timeout_millis)
