"""`degraded` is true to what ran."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from models.hashing import HashingEmbedder
from service.errors import LlmUnavailableError, QuarryError
from service.generation.base import Cited, Delta, Event, Expectation, Finished
from service.pace import Estimate


class OpenStory(Protocol):
    def __call__(self, embedder: object = None, **settings: object) -> AbstractAsyncContextManager[Any]: ...


SAID = [Delta("They sleep in winter [1]."), Finished("stop")]
# A second to the first token, no time to read, 100 ms a token: a usual answer takes 13.8 s.
SLOW = Expectation(first_token_s=1.0, prompt_token_s=0.0, token_s=0.1)


def run(open_story: OpenStory, scenario: Any, **settings: object) -> None:  # noqa: ANN401
    """``scenario(story)`` on a loop of its own."""

    async def told() -> None:
        async with open_story(**settings) as story:
            await scenario(story)

    asyncio.run(told())


def test_passages_that_did_not_fit_are_chunks_lost(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = [Delta("Yes [1]."), Finished("stop", left_out=1)]
        reply = (await story.ask()).json()
        assert (reply["status"], reply["degraded"], reply["answer"]) == ("partial", ["chunks"], "Yes [1].")

    run(open_story, scenario)


@pytest.mark.parametrize(("documents", "degraded"), [(1, []), (5, ["chunks"])])
def test_fewer_chunks_than_set_are_named_where_there_were_more(
    open_story: OpenStory, documents: int, degraded: Sequence[str]
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        for number in range(documents - 1):
            await story.http.put(
                f"/v1/collections/docs/documents/{number}", json={"text": f"The honey bees sleep here. {'x ' * number}"}
            )
        # A second for each passage: some of five do not fit into the 4 seconds, one does.
        story.llm.expectation = Expectation(0.0, 1 / 157, 0.0)
        story.llm.script = SAID
        reply = (await story.ask(deadline_ms=5000)).json()
        assert reply["degraded"] == degraded
        assert len(story.llm.requests[0].passages) <= 4
        assert len(reply["chunks"]) == documents

    run(open_story, scenario)


@pytest.mark.parametrize(("limit", "degraded"), [(None, []), (100, ["max_tokens"])])
def test_a_limit_that_the_context_set_is_named_too(
    open_story: OpenStory, limit: int | None, degraded: Sequence[str]
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = [Delta("They sleep in winter [1]."), Finished("length", max_tokens=limit)]
        assert (await story.ask()).json()["degraded"] == degraded

    run(open_story, scenario)


def test_a_stream_leaves_no_time_for_quotes_that_could_not_follow_it(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        asked_at = []
        for ask in (story.ask, story.told):
            asked_at.append(time.monotonic())
            await ask(deadline_ms=30_000)
        kept_s = [at + 30 - request.call.deadline.at for at, request in zip(asked_at, story.llm.requests, strict=True)]
        assert kept_s[0] > 0.2
        assert kept_s[1] <= 0

    run(open_story, scenario)


@pytest.mark.parametrize(("reason", "degraded"), [("stop", []), ("length", ["max_tokens"])])
def test_a_shrunken_limit_is_named_where_it_cut_the_answer(
    open_story: OpenStory, reason: str, degraded: Sequence[str]
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.expectation = SLOW
        story.llm.script = [Delta("They sleep in winter [1]."), Finished(reason)]
        reply = (await story.ask(deadline_ms=30_000)).json()
        assert reply["degraded"] == degraded
        assert story.llm.requests[0].max_tokens < 300
        unhurried = (await story.ask(max_tokens=40)).json()
        assert (unhurried["degraded"], unhurried["finish_reason"]) == ([], reason)
        assert story.llm.requests[1].max_tokens == 40

    run(open_story, scenario)


def test_a_model_that_cannot_be_in_time_is_not_asked(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.expectation = SLOW
        reply = (await story.ask(deadline_ms=3000)).json()
        assert (reply["status"], reply["degraded"], story.llm.requests) == ("partial", ["llm"], [])
        assert reply["citations"]

    run(open_story, scenario)


def test_where_quotes_take_too_long_there_are_the_chunks(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        monkeypatch.setattr(Estimate, "usual", 90.0)
        for llm, degraded in (("main", ["llm", "extractive"]), ("extractive", ["extractive"])):
            reply = (await story.ask(llm=llm)).json()
            assert (reply["status"], reply["degraded"], reply["answer"]) == ("partial", degraded, "")
            assert len(reply["chunks"]) == 1
            assert (await story.told(llm=llm))[-1][1]["degraded"] == degraded
        assert story.llm.requests == []

    run(open_story, scenario)


def test_a_generator_in_trouble_is_passed_over_at_once(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.trouble = "5 of the last 5 failed"
        reply = (await story.ask()).json()
        assert (reply["status"], reply["degraded"]) == ("partial", ["llm"])
        assert reply["citations"]
        for stream in (False, True):
            failed = await story.ask(on_failure="fail", stream=stream)
            assert failed.status_code == 503
            assert failed.json()["error"]["code"] == "llm_unavailable"
            assert failed.json()["detail"] == "llm 'main' would not answer: 5 of the last 5 failed"
        assert (await story.ask(generate=False, on_failure="fail")).json()["degraded"] == []
        assert (await story.ask(query="zebra crossing")).json()["status"] == "no_answer"  # nobody was to be asked
        assert story.llm.requests == []

    run(open_story, scenario)


def test_nothing_is_left_out_where_only_an_error_will_do(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.expectation = SLOW
        story.llm.script = SAID
        reply = (await story.ask(deadline_ms=3000, on_failure="fail")).json()
        assert (reply["status"], reply["degraded"], story.llm.requests[0].max_tokens) == ("ok", [], 512)

    run(open_story, scenario)


def test_a_language_model_leaves_time_for_what_takes_its_place(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        for on_failure in ("degrade", "fail"):
            before = time.monotonic()
            reply = await story.ask(deadline_ms=5000, on_failure=on_failure)
            call = story.llm.requests[-1].call
            assert call.deadline.budget_s == 5.0
            if on_failure == "fail":
                assert call.deadline.at >= before + 5
            else:
                assert call.deadline.at <= time.monotonic() + 5 - 0.05
            assert (reply.status_code, call.tenant) == (200, "collection:docs")
            assert call.request_id == reply.headers["x-request-id"]

    run(open_story, scenario)


@pytest.mark.parametrize("stage", ["embed", "search"])
def test_what_runs_late_is_cut_at_its_stage(open_story: OpenStory, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    async def stuck(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async def scenario(story: Any) -> None:  # noqa: ANN401
        with monkeypatch.context() as broken:
            if stage == "embed":
                broken.setattr("service.batching.EmbeddingBatcher.embed_query", stuck)
            else:
                loop = asyncio.get_running_loop()
                broken.setattr(loop, "run_in_executor", lambda *_: loop.create_future())
            for route in ("/v1/search", "/v1/query"):
                reply = await story.ask(route)
                assert (reply.status_code, reply.json()["stage"]) == (504, stage), reply.text
                assert reply.json()["detail"] == f"the budgets.{stage}_ms of 200 ms passed in stage {stage!r}"
                assert reply.headers["x-should-retry"] == "false"
                assert reply.json()["timings_ms"][stage] >= 199
                assert f"{stage};dur=" in reply.headers["server-timing"]
        assert (await story.ask("/v1/search")).status_code == 200

    run(open_story, scenario, budgets={f"{stage}_ms": 200})


@pytest.mark.parametrize(
    ("said", "budget"), [([], "llm_ttft_ms"), ([Delta("Half an ans")], "llm_itl_ms")], ids=["first", "later"]
)
def test_a_silent_model_is_cut_at_its_budget(open_story: OpenStory, said: Sequence[Event], budget: str) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        tasks = asyncio.all_tasks()
        story.llm.script = [*said, None]
        reply = (await story.ask()).json()
        assert (reply["status"], reply["degraded"]) == ("partial", ["llm"])
        assert reply["answer"].startswith("The honey bees")
        failed = (await story.ask(on_failure="fail")).json()
        assert (failed["error"]["code"], failed["stage"]) == ("llm_timeout", "llm")
        assert budget in failed["detail"]
        told = await story.told()
        assert (told[-1][0] == "error") is bool(said)
        assert story.llm.open == 0
        await story.settled(tasks)

    run(open_story, scenario, budgets={budget: 20})


@pytest.mark.parametrize("deadline_ms", [1500])
def test_an_answer_that_is_late_after_its_first_text_is_cut(open_story: OpenStory, deadline_ms: int) -> None:
    """In both forms alike; what was cited stays cited."""

    async def scenario(story: Any) -> None:  # noqa: ANN401
        tasks = asyncio.all_tasks()
        story.llm.script = [Delta("They sleep "), Delta("[1]"), Cited(1, 4, 9, 11, 14), Delta(" in"), None]
        reply = (await story.ask(deadline_ms=deadline_ms)).json()
        assert reply["answer"] == "They sleep [1] in"
        (*_, (name, done)) = told = await story.told(deadline_ms=deadline_ms)
        assert name == "done"
        for each in (reply, done):
            assert (each["status"], each["finish_reason"]) == ("partial", "length")
            assert each["degraded"] == ["max_tokens"]
        (streamed,) = [data for name, data in told if name == "citation"]
        assert reply["citations"] == [streamed]
        assert streamed["quote"] == "honey"
        assert story.llm.open == 0
        await story.settled(tasks)

    run(open_story, scenario)


def test_it_is_an_error_for_who_wants_one(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = [Delta("They sleep "), None]
        failed = await story.ask(deadline_ms=1500, on_failure="fail")
        assert (failed.status_code, failed.json()["error"]["code"]) == (504, "llm_timeout")
        told = await story.told(deadline_ms=1500, on_failure="fail")
        assert [name for name, _ in told] == ["retrieval", "token", "error"]
        assert told[-1][1]["status"] == 504

    run(open_story, scenario)


def test_a_rewrite_that_was_lost_counts_where_no_answer_is_wanted(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.rewritten = LlmUnavailableError("gone")
        messages = [
            {"role": "user", "content": "Do honey bees sleep?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "When?"},
        ]
        reply = (await story.ask(query=None, messages=messages, generate=False)).json()
        assert reply["degraded"] == ["rewrite"]
        count = story.app.state.services.metrics.registry.get_sample_value
        assert count("quarry_degraded_total", {"rung": "rewrite"}) == 1

    run(open_story, scenario)


@pytest.mark.parametrize("deadline_ms", [1, 2])
def test_a_deadline_that_no_server_could_keep_is_refused_before_anything_runs(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch, deadline_ms: int
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        embedded: list[str] = []
        monkeypatch.setattr(Estimate, "least", 5.0)
        monkeypatch.setattr(HashingEmbedder, "tokenize", lambda *_: embedded.append("tokenized"))
        for route, extra in (("/v1/search", 0), ("/v1/query", 0), ("/v1/query", 3000)):
            reply = await story.ask(route, query="Who is new here?", deadline_ms=deadline_ms + extra)
            assert reply.status_code == 504
            assert (reply.json()["error"]["code"], reply.headers["x-should-retry"]) == ("deadline_exceeded", "false")
            assert reply.json()["stage"] == ("search" if extra else reply.json()["stage"])
            assert extra == 0 or "it takes 5000" in reply.json()["detail"]
        assert embedded == []

    run(open_story, scenario)


@pytest.mark.parametrize("error", [LlmUnavailableError("gone"), QuarryError("odd")])
def test_a_failure_in_mid_stream_is_an_event_and_never_text(open_story: OpenStory, error: Exception) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = [Delta("Half an ans"), error]
        told = await story.told()
        assert [name for name, _ in told] == ["retrieval", "token", "error"]
        assert told[1][1] == {"text": "Half an ans"}
        assert told[-1][1]["timings_ms"]["total"] >= told[-1][1]["timings_ms"]["llm_total"]

    run(open_story, scenario)


def test_an_answer_without_text_has_no_time_to_it(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = [Finished("stop", abstained=True, prompt_s=0.001)]
        reply = (await story.ask()).json()
        assert reply["status"] == "no_answer"
        assert "llm_total" in reply["timings_ms"]
        assert "llm_ttft" not in reply["timings_ms"]

    run(open_story, scenario)
