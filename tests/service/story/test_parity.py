"""A stream and a reply say the same of the same answer, and where the time went."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, Protocol

import pytest

from service.batching import Embedded, EmbeddingBatcher
from service.errors import LlmUnavailableError
from service.generation.base import Cited, Delta, Event, Finished
from service.generation.prompt import NO_ANSWER


class OpenStory(Protocol):
    def __call__(self, embedder: object = None, **settings: object) -> AbstractAsyncContextManager[Any]: ...


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
SAID: list[Event] = [Delta("They sleep "), Delta("in winter [1]."), Cited(1, 0, 57, 20, 23)]
SCRIPTS = {
    "ok": [*SAID, Finished("stop", usage=USAGE, timings={"prefill": 3.5, "decode": 7.25})],
    "cut": [*SAID, Finished("length", usage=USAGE)],
    "left out": [*SAID, Finished("stop", left_out=2, invalid_markers=1)],
    "no answer": [Delta(NO_ANSWER), Finished("stop", abstained=True, usage=USAGE)],
    "fails": [LlmUnavailableError("gone")],
}
SAME = ("answer", "status", "no_answer_reason", "usage", "llm_timings_ms", "degraded")
INSIDE = {"llm_ttft", "llm_itl", "total"}
RETRIEVING = {"tokenize", "queue", "embed", "search", "lexical", "fusion"}


def adds_up(timings: dict[str, float]) -> bool:
    """The stages and `other` make the total, to the rounding of each."""
    stages = [took for stage, took in timings.items() if stage not in INSIDE]
    return "other" in timings and timings["total"] == pytest.approx(sum(stages), abs=0.001 * (1 + len(stages)))


def in_header(header: str) -> set[str]:
    return {entry.split(";dur=")[0] for entry in header.split(", ")}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_stream_and_the_reply_agree(open_story: OpenStory, name: str) -> None:
    async def scenario() -> None:
        async with open_story() as story:
            story.llm.script = SCRIPTS[name]
            reply = (await story.ask()).json()
            told = await story.told()
            assert told[-1][0] == "done"
            done = told[-1][1]
            assert {field: done[field] for field in SAME} == {field: reply[field] for field in SAME}
            assert "".join(data["text"] for event, data in told if event == "token") == done["answer"]
            assert [data for event, data in told if event == "citation"] == reply["citations"]
            assert told[0][1]["searched"] == reply["searched"] == "When do the honey bees sleep?"
            assert bool(reply["citations"]) == (name != "no answer")
            assert all((each["score"] is None) == (name != "fails") for each in reply["citations"])  # quotes have it
            assert set(done["timings_ms"]) == set(reply["timings_ms"])
            assert adds_up(done["timings_ms"])
            assert adds_up(reply["timings_ms"])

    asyncio.run(scenario())


def test_what_the_generator_needs_for_the_prompt_is_no_time_of_the_model(open_story: OpenStory) -> None:
    async def scenario() -> None:
        async with open_story() as story:
            before = (await story.ask()).json()["timings_ms"]
            assert set(before) == {*RETRIEVING, "prompt", "llm_ttft", "llm_itl", "llm_total", "other", "total"}
            story.llm.script = [*SAID, Finished("stop", prompt_s=100.0)]
            timings = (await story.ask()).json()["timings_ms"]
            assert timings["prompt"] >= 100_000
            assert timings["llm_ttft"] == 0

    asyncio.run(scenario())


def test_the_way_back_from_the_device_is_time_of_the_embedding(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed = EmbeddingBatcher.embed_query

    async def claiming(*asked: Any) -> Embedded:  # noqa: ANN401
        return replace(await computed(*asked), queue_s=0.0, tokenize_s=0.0, forward_s=0.0)

    async def scenario() -> None:
        async with open_story() as story:
            monkeypatch.setattr(EmbeddingBatcher, "embed_query", claiming)
            timings = (await story.ask("/v1/search")).json()["timings_ms"]
            assert (timings["tokenize"], timings["queue"]) == (0, 0)
            assert timings["embed"] > 0
            assert adds_up(timings)

    asyncio.run(scenario())


ROUTES = [
    ("GET", "/healthz", 200), ("GET", "/metrics", 200), ("GET", "/v1/collections", 200), ("GET", "/nothing", 404),
    ("PATCH", "/v1/search", 405), ("POST", "/v1/search", 422), ("GET", "/v1/collections/none", 404),
    ("DELETE", "/v1/collections/docs/documents/bees", 200),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "status"), ROUTES)
def test_every_reply_says_how_long_it_took(open_story: OpenStory, method: str, path: str, status: int) -> None:
    async def scenario() -> None:
        async with open_story() as story:
            reply = await story.http.request(method, path)
            assert reply.status_code == status
            assert {"other", "total"} <= in_header(reply.headers["server-timing"])

    asyncio.run(scenario())


def test_errors_say_where_the_time_went(open_story: OpenStory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with open_story() as story:
            story.llm.script = [LlmUnavailableError("gone")]
            failed = await story.ask(on_failure="fail")
            stages = {*RETRIEVING, "prompt", "llm_total", "other", "total"}
            assert set(failed.json()["timings_ms"]) == in_header(failed.headers["server-timing"]) == stages
            assert adds_up(failed.json()["timings_ms"])
            name, body = (await story.told(on_failure="fail"))[-1]
            assert (name, set(body["timings_ms"])) == ("error", stages)

            def broken(*_: object) -> None:
                raise ZeroDivisionError

            monkeypatch.setattr("service.planner.Planner.plan", broken)
            unforeseen = await story.ask()
            assert unforeseen.status_code == 500
            assert "total" in in_header(unforeseen.headers["server-timing"])
            assert "total" in unforeseen.json()["timings_ms"]
            metrics = (await story.http.get("/metrics")).text
            assert 'quarry_stage_seconds_count{stage="search"} 2.0' in metrics

    asyncio.run(scenario())
