"""Where spans go: a collector that is well, one that is not, and a bound on what waits for it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from service.telemetry.traces import TraceMetrics
from service.trace_settings import TraceSettings

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from service.telemetry import otel
from service.telemetry.otel import OtelTraces

PATIENCE_S = 200.0
MOST = 512


class Collector:
    """Takes spans over HTTP, or behaves badly.

    Attributes:
        behaviour: ``takes``, ``fails``, ``closes`` or ``hangs``.
        names: of the spans that came.
    """

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.names: list[str] = []
        self.asked, self.end = threading.Event(), threading.Event()

    @contextmanager
    def listening(self) -> Iterator[str]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.asked.set()
                body = self.rfile.read(int(self.headers["content-length"]))
                if collector.behaviour == "hangs":
                    collector.end.wait(PATIENCE_S)
                if collector.behaviour in {"hangs", "closes"}:
                    self.close_connection = True
                    return
                if collector.behaviour == "takes":
                    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                        collector.names += [span.name for scope in resource.scope_spans for span in scope.spans]
                self.send_response(200 if collector.behaviour == "takes" else 400)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        finally:
            self.end.set()
            server.shutdown()
            server.server_close()
            thread.join()


class Held(SpanExporter):
    """An exporter that waits."""

    def __init__(self) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otel, "_EXPORT_S", 0.2)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def count(registry: CollectorRegistry) -> Callable[[str], float]:
    return lambda outcome: registry.get_sample_value("quarry_trace_spans_total", {"outcome": outcome}) or 0.0


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def ask(traces: OtelTraces, requests: int) -> None:
    for _ in range(requests):
        trace = traces.begin({})
        trace.stage("search", 0.001)
        trace.end("GET /", 200, {})


def test_a_collector_gets_every_span_before_the_end(registry: CollectorRegistry, count: Callable[[str], float]) -> None:
    async def scenario(url: str) -> None:
        async with OtelTraces(TraceSettings(endpoint=url), TraceMetrics(registry)) as traces:
            ask(traces, 3)

    collector = Collector("takes")
    with collector.listening() as url:
        run(scenario(url))
        assert sorted(collector.names) == ["GET /"] * 3 + ["search"] * 3
    assert (count("exported"), count("failed"), count("dropped")) == (6, 0, 0)


@pytest.mark.parametrize("behaviour", ["fails", "closes", "hangs", "gone"])
def test_a_collector_in_trouble_costs_spans_and_a_single_line(
    registry: CollectorRegistry, count: Callable[[str], float], caplog: pytest.LogCaptureFixture, behaviour: str
) -> None:
    async def scenario(url: str) -> None:
        async with OtelTraces(TraceSettings(endpoint=url), TraceMetrics(registry)) as traces:
            for _ in range(2):
                ask(traces, 300)
                await asyncio.to_thread(traces.flush)
                assert asyncio.get_running_loop().is_running()

    if behaviour == "gone":
        run(scenario("http://127.0.0.1:9/v1/traces"))
    else:
        with Collector(behaviour).listening() as url:
            run(scenario(url))
    assert count("failed") == 1200
    assert count("exported") == count("dropped") == 0
    assert [record.message for record in caplog.records if record.name == "quarry.traces"] == [
        "spans cannot be sent; they are counted and dropped until they can"
    ]


def test_what_waits_is_bounded_and_what_is_dropped_is_counted(
    registry: CollectorRegistry, count: Callable[[str], float]
) -> None:
    async def scenario() -> None:
        async with OtelTraces(TraceSettings(max_queued=MOST), TraceMetrics(registry), held) as traces:
            ask(traces, MOST)  # two spans each
            await asyncio.to_thread(held.entered.wait, PATIENCE_S)
            ask(traces, 10 * MOST)
            assert count("dropped") >= 20 * MOST - MOST
            held.gate.set()

    held = Held()
    run(scenario())
    assert count("exported") + count("dropped") == 22 * MOST
    assert count("exported") <= 3 * MOST


def test_the_end_does_not_wait_for_a_collector_that_hangs(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with OtelTraces(TraceSettings(), TraceMetrics(registry), held) as traces:
            ask(traces, 1)
        # What sends the rest is at it still, or it was waited for.
        assert "quarry-traces" in {thread.name for thread in threading.enumerate()}

    monkeypatch.setattr(otel, "_END_S", 0.05)
    held = Held()
    try:
        run(scenario())
    finally:
        held.gate.set()


def test_sending_again_after_trouble_is_possible(registry: CollectorRegistry, count: Callable[[str], float]) -> None:
    async def scenario(url: str) -> None:
        async with OtelTraces(TraceSettings(endpoint=url), TraceMetrics(registry)) as traces:
            ask(traces, 1)
            await asyncio.to_thread(traces.flush)
            collector.behaviour = "takes"
            ask(traces, 1)

    collector = Collector("fails")
    with collector.listening() as url:
        run(scenario(url))
    assert (count("failed"), count("exported")) == (2, 2)
