"""Traces of requests: who took how long, linked over processes, and nothing of what was said."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from models.hashing import HashingEmbedder
from scripted_llm import ScriptedLlm, answering, error, said, usage
from scripted_memory import ScriptedMemory
from service.app import Outside, create_app
from service.errors import ExtraMissingError
from service.settings import Settings
from service.telemetry.traces import Served, TraceMetrics
from service.trace_settings import TraceSettings

pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.telemetry.otel import OtelTraces

PATIENCE_S = 200.0
QUESTION = "Where do the honey bees sleep?"
ANSWER = "In the meadow [1]."
WORDS = ("honey", "sleep", "meadow", "clover", "Bees", "bees")
TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
ASKED = {"query": QUESTION, "collection": "docs"}
OpenStory = Callable[..., AbstractAsyncContextManager[Any]]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


@asynccontextmanager
async def traced(story: Any, sample: float = 1.0) -> AsyncIterator[list[ReadableSpan]]:  # noqa: ANN401
    """The spans of the block, once it has ended."""
    exporter, spans = InMemorySpanExporter(), list[ReadableSpan]()
    traces = OtelTraces(TraceSettings(sample=sample), TraceMetrics(CollectorRegistry()), exporter)
    async with traces:
        story.app.state.traces = traces
        yield spans
        story.app.state.traces = None
    spans += exporter.get_finished_spans()


@asynccontextmanager
async def telling(open_story: OpenStory, *behaviours: Any) -> AsyncIterator[tuple[Any, ScriptedLlm]]:  # noqa: ANN401
    async with ScriptedLlm(behaviours).listening() as llm, open_story(url=llm.url) as story:
        yield story, llm


def named(spans: list[ReadableSpan], name: str) -> ReadableSpan:
    (span,) = [span for span in spans if span.name == name]
    return span


def told(spans: list[ReadableSpan]) -> str:
    return "\n".join(span.to_json() for span in spans)


def test_a_question_is_a_tree_of_spans_without_a_word_of_it(open_story: OpenStory) -> None:
    async def scenario() -> None:
        script = answering(said(ANSWER), usage(70, 9))
        async with telling(open_story, script) as (story, llm):
            async with traced(story) as spans:
                headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
                reply = await story.http.post("/v1/query", json=ASKED, headers=headers)
            assert reply.json()["status"] == "ok"
            server, chat = named(spans, "POST /v1/query"), named(spans, "chat tiny")
            assert {format(span.context.trace_id, "032x") for span in spans} == {TRACE}
            assert format(server.parent.span_id, "016x") == CALLER
            assert dict(server.attributes) == {
                "http.request.method": "POST",
                "http.route": "/v1/query",
                "http.response.status_code": 200,
                "quarry.request_id": reply.headers["x-request-id"],
            }
            children = [span.name for span in spans if span.parent.span_id == server.context.span_id]
            assert sorted(children) == [
                "chat tiny", "embed", "fusion", "lexical", "prompt", "prompt", "queue", "search", "tokenize",
            ]  # fmt: skip
            # What an answer may rest on, and what the model is sent of it: both before it is asked.
            assert all(span.end_time <= chat.start_time + 10**7 for span in spans if span.name == "prompt")
            assert all(server.start_time - 10**7 <= span.start_time <= span.end_time for span in spans)
            assert all(span.end_time <= server.end_time for span in spans)
            assert dict(chat.attributes) == {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "tiny",
                "gen_ai.usage.input_tokens": 70,
                "gen_ai.usage.output_tokens": 9,
                "gen_ai.response.finish_reasons": ("stop",),
                "server.address": "127.0.0.1",
                "server.port": int(llm.url.rpartition(":")[2]),
            }
            assert llm.asked[0].headers["traceparent"] == f"00-{TRACE}-{chat.context.span_id:016x}-01"
            tokenize, queue, embed_span = (named(spans, name) for name in ("tokenize", "queue", "embed"))
            assert tokenize.start_time < tokenize.end_time <= queue.start_time + 10**5
            assert queue.end_time <= embed_span.start_time + 10**5 < embed_span.end_time + 10**5
            embed = dict(embed_span.attributes)
            assert (embed["gen_ai.operation.name"], embed["gen_ai.usage.input_tokens"] > 0) == ("embeddings", True)
            assert not [word for word in WORDS if word in told(spans)]

    run(scenario())


def test_what_fails_is_told_by_its_type_alone(open_story: OpenStory) -> None:
    async def scenario() -> None:
        async with telling(open_story, error(400, "honey bees are too long")) as (story, _):
            async with traced(story) as spans:
                assert (await story.http.post("/v1/query", json=ASKED)).json()["status"] == "partial"
                assert (await story.http.post("/v1/query", json=ASKED | {"on_failure": "fail"})).status_code >= 500
                await story.http.get("/v1/collections/none")
            chats = [span for span in spans if span.name == "chat tiny"]
            assert {span.attributes["error.type"] for span in chats} == {"LlmRefusedError"}
            assert all(not span.status.is_ok and not span.status.description and not span.events for span in chats)
            failed = [span.attributes.get("error.type") for span in spans if span.name == "POST /v1/query"]
            assert failed == [None, "502"]
            assert named(spans, "GET /v1/collections/{collection}").status.is_ok
            assert not [word for word in WORDS if word in told(spans)]

    run(scenario())


def test_a_stream_that_fails_is_told_by_the_code_of_its_problem(
    open_story: OpenStory, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with telling(open_story, error(400, "honey bees are too long")) as (story, _):
            fold(story)
            with caplog.at_level(logging.INFO, "quarry"):
                async with traced(story) as spans:
                    asked = ASKED | {"on_failure": "fail", "stream": True}
                    assert (await story.http.post("/v1/query", json=asked)).status_code == 200
                fold(story)
        server, (line,) = named(spans, "POST /v1/query"), lines(caplog)
        assert server.attributes["error.type"] == line["problem"] == "llm_bad_response"
        assert not server.status.is_ok

    run(scenario())


def test_a_vector_of_the_cache_is_no_call_of_a_model(open_story: OpenStory) -> None:
    async def scenario() -> None:
        async with open_story() as story, traced(story) as spans:
            for _ in range(2):
                await story.http.post("/v1/search", json=ASKED)
        first, second = (dict(span.attributes) for span in spans if span.name == "embed")
        assert (first["gen_ai.operation.name"], second) == ("embeddings", {})

    run(scenario())


@pytest.mark.parametrize("left", [GeneratorExit, asyncio.CancelledError])
def test_a_call_that_is_closed_on_purpose_is_no_error(left: type[BaseException]) -> None:
    async def scenario() -> None:
        exporter = InMemorySpanExporter()
        async with OtelTraces(TraceSettings(), TraceMetrics(CollectorRegistry()), exporter) as traces:
            with pytest.raises(left), traces.begin({}).chat(Served("tiny", "openai", "h")):
                raise left
        (span,) = exporter.get_finished_spans()
        assert ("error.type" in span.attributes, span.status.is_ok) == (False, True)

    run(scenario())


@pytest.mark.parametrize(("sample", "flags", "is_traced"), [(1.0, "00", False), (0.0, "01", True)])
def test_who_calls_has_decided_whether_it_is_traced(
    open_story: OpenStory, sample: float, flags: str, is_traced: bool
) -> None:
    async def scenario() -> None:
        async with telling(open_story) as (story, llm):
            async with traced(story, sample) as spans:
                headers = {"traceparent": f"00-{TRACE}-{CALLER}-{flags}"}
                await story.http.post("/v1/query", json=ASKED, headers=headers)
            assert bool(spans) is is_traced
            assert llm.asked[0].headers["traceparent"].startswith(f"00-{TRACE}-")
            assert llm.asked[0].headers["traceparent"].endswith(f"-{flags}")

    run(scenario())


def test_a_share_of_nothing_and_a_header_of_nonsense_trace_nothing_wrong(open_story: OpenStory) -> None:
    async def scenario() -> None:
        async with telling(open_story) as (story, _):
            async with traced(story, sample=0.0) as none:
                await story.http.post("/v1/search", json=ASKED)
            assert none == []
            async with traced(story) as spans:
                await story.http.post("/v1/search", json=ASKED, headers={"traceparent": "00-honey-1-01"})
            assert named(spans, "POST /v1/search").parent is None

    run(scenario())


def test_texts_that_are_embedded_for_others_have_a_span(open_story: OpenStory) -> None:
    async def scenario() -> None:
        async with open_story() as story, traced(story) as spans:
            await story.http.post("/v1/embeddings", json={"input": ["honey", "bees"]})
        embed = named(spans, "embed")
        assert embed.parent.span_id == named(spans, "POST /v1/embeddings").context.span_id
        assert embed.attributes["gen_ai.operation.name"] == "embeddings"
        assert not [word for word in WORDS if word in told(spans)]

    run(scenario())


def fold(story: Any) -> None:  # noqa: ANN401
    """Have the lines of all that has ended written now."""
    story.app.state.services.metrics.ended.fold()


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    usual = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
    records = [record for record in caplog.records if record.name == "quarry.requests"]
    return [{name: value for name, value in vars(record).items() if name not in usual} for record in records]


def test_the_line_of_a_request_has_ids_hashes_and_counts_and_no_content(
    open_story: OpenStory, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with telling(open_story, answering(said(ANSWER), usage(70, 9))) as (story, llm):
            fold(story)
            with caplog.at_level(logging.INFO, "quarry"):
                for query in (QUESTION, QUESTION, QUESTION + "?"):
                    await story.http.post("/v1/query", json={"query": query, "collection": "docs"})
                assert "traceparent" not in llm.asked[0].headers
                async with traced(story) as spans:
                    await story.http.post("/v1/query", json=ASKED | {"stream": True})
                await story.http.post("/v1/embeddings", json={"input": ["honey", "bees"]})
                document = json.dumps({"id": "clover", "text": "The meadow."})
                headers = {"content-type": "application/x-ndjson"}
                await story.http.post("/v1/collections/docs/documents:batch", content=document, headers=headers)
                fold(story)
            *asked, streamed, embedded, written = lines(caplog)
            assert set(asked[0]) == {
                "request_id", "key", "method", "route", "status", "milliseconds", "question_hash",
                "question_characters", "hits", "answer", "answer_characters", "citations", "degraded",
                "prompt_tokens", "completion_tokens", "total_tokens",
            }  # fmt: skip
            first, again, other = (line["question_hash"] for line in asked)
            assert first == again != other
            assert (asked[0]["question_characters"], asked[0]["hits"], asked[0]["citations"]) == (len(QUESTION), 1, 1)
            assert streamed["trace_id"] == f"{named(spans, 'POST /v1/query').context.trace_id:032x}"
            assert streamed["question_hash"] == first
            assert (embedded["texts"], embedded["tokens"] > 0, written["documents"]) == (2, True, 1)
            said_all = json.dumps(lines(caplog)) + caplog.text
            assert not [word for word in WORDS if word in said_all]

    run(scenario())


def test_without_the_extra_the_start_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "service.telemetry.otel")
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    settings = Settings(data_dir=tmp_path, traces={"endpoint": "http://127.0.0.1:4318/v1/traces"})
    app = create_app(settings, Outside(HashingEmbedder(), memory=ScriptedMemory()))

    async def scenario() -> None:
        with pytest.raises(ExtraMissingError, match=r"4318.*'opentelemetry' is not installed.*-e '\.\[otel\]'"):
            async with app.router.lifespan_context(app):
                pytest.fail("it started")

    run(scenario())


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:4318", "ftp://x/v1/traces", "http://h:x", "http:///v1", "http://a:b@h/v1"]
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint"):
        Settings(traces={"endpoint": endpoint})


def test_off_by_default(open_story: OpenStory) -> None:
    async def scenario() -> None:
        async with open_story() as story:
            assert story.app.state.traces is None
            assert isinstance(story.http, httpx.AsyncClient)

    run(scenario())
