"""A chat completion, streamed or not, says what /v1/query says."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import httpx
import pytest

from service.errors import LlmUnavailableError
from service.generation.base import Cited, Delta, Event, Finished
from service.generation.prompt import NO_ANSWER


class OpenStory(Protocol):
    def __call__(self, embedder: object = None, **settings: object) -> AbstractAsyncContextManager[Any]: ...


QUESTION = "When do the honey bees sleep?"
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
NOTHING = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
SAID: list[Event] = [
    Delta("They sleep "),
    Delta('in "winter" 🐝 [1]'),
    Cited(1, 0, 57, 25, 28),
    Delta("[1]."),
    Cited(1, 0, 57, 28, 31),
]
SCRIPTS = {
    "ok": [*SAID, Finished("stop", usage=USAGE, timings={"prefill": 3.5})],
    "cut": [*SAID, Finished("length", usage=USAGE)],
    "left out": [*SAID, Finished("stop", left_out=2)],
    "no answer": [Finished("stop", abstained=True, usage=USAGE)],
    "fails": [LlmUnavailableError("gone")],
}
ELSEWHERE = {"id", "answer", "finish_reason", "usage"}
VARYING = {"timings_ms"}


def run(open_story: OpenStory, scenario: Any, **settings: object) -> None:  # noqa: ANN401
    async def told() -> None:
        async with open_story(**settings) as story:
            await scenario(story)

    asyncio.run(told())


async def chat(story: Any, **body: Any) -> httpx.Response:  # noqa: ANN401
    asked = {"model": "docs", "messages": [{"role": "user", "content": QUESTION}]}
    reply: httpx.Response = await story.http.post("/v1/chat/completions", json=asked | body)
    return reply


async def chunks(story: Any, **body: Any) -> tuple[list[dict[str, Any]], bool]:  # noqa: ANN401
    """The chunks of a stream, and whether it ended with [DONE]."""
    reply = await chat(story, stream=True, **body)
    assert reply.headers["content-type"].startswith("text/event-stream"), reply.text
    assert reply.headers["x-accel-buffering"] == "no"
    frames = [frame.removeprefix("data: ") for frame in reply.text.split("\n\n") if frame.startswith("data: ")]
    done = frames[-1] == "[DONE]"
    return [json.loads(frame) for frame in (frames[:-1] if done else frames)], done


@pytest.mark.parametrize("name", SCRIPTS)
def test_chat_streamed_or_not_and_query_agree(open_story: OpenStory, name: str) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = SCRIPTS[name]
        query = (await story.ask()).json()
        whole = (await chat(story)).json()
        streamed, done = await chunks(story, stream_options={"include_usage": True})
        (choice,) = whole["choices"]
        assert (choice["message"]["content"], choice["finish_reason"]) == (query["answer"], query["finish_reason"])
        assert choice["message"]["role"] == "assistant"
        assert choice["message"]["refusal"] is None
        assert whole["usage"] == NOTHING | query["usage"]
        told = {field: value for field, value in query.items() if field not in ELSEWHERE | VARYING}
        assert {field: whole["rag"][field] for field in told} == told
        assert set(whole["rag"]) == set(query) - ELSEWHERE | {"ignored"}

        assert done
        deltas = [chunk["choices"][0]["delta"] for chunk in streamed if chunk["choices"]]
        assert deltas[0] == {"role": "assistant", "content": ""}
        assert "".join(delta.get("content", "") for delta in deltas) == query["answer"]
        assert [each for delta in deltas for each in delta.get("annotations", ())] == choice["message"]["annotations"]
        assert streamed[-2]["choices"][0]["finish_reason"] == choice["finish_reason"]
        assert (streamed[-1]["choices"], streamed[-1]["usage"]) == ([], whole["usage"])
        rag = streamed[0]["rag"] | streamed[-2]["rag"]
        assert {field: rag[field] for field in told} == told
        assert {chunk["object"] for chunk in streamed} == {"chat.completion.chunk"}
        assert len({chunk["id"] for chunk in streamed}) == 1

    run(open_story, scenario)


def test_annotations_are_where_the_markers_are(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = SCRIPTS["ok"]
        message = (await chat(story)).json()["choices"][0]["message"]
        cited = [annotation["url_citation"] for annotation in message["annotations"]]
        assert [message["content"][each["start_index"] : each["end_index"]] for each in cited] == ["[1]", "[1]"]
        assert {each["url"] for each in cited} == {"/v1/collections/docs/documents/bees"}
        assert {each["title"] for each in cited} == {"Bees"}
        path = "/v1/collections/docs/documents/a%2Fb%20c"
        await story.http.put(path, json={"text": "Wasps of the southern forest never sleep."})
        asked = [{"role": "user", "content": "Do wasps of the southern forest sleep?"}]
        story.llm.script = [Delta("No [1]."), Cited(1, 0, 41, 3, 6), Finished("stop")]
        cited = (await chat(story, messages=asked)).json()["choices"][0]["message"]["annotations"]
        assert cited[0]["url_citation"] == {"url": path, "title": "a/b c", "start_index": 3, "end_index": 6}

    run(open_story, scenario)


def test_a_question_without_an_answer_is_told_so_and_a_failure_never_is(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = SCRIPTS["no answer"]
        reply = (await chat(story)).json()
        assert reply["choices"][0]["message"] == {
            "role": "assistant", "content": NO_ANSWER, "refusal": None, "annotations": [],
        }  # fmt: skip
        assert (reply["choices"][0]["finish_reason"], reply["rag"]["status"]) == ("stop", "no_answer")
        story.llm.script = SCRIPTS["fails"]
        failed = (await chat(story)).json()
        assert (failed["rag"]["status"], failed["rag"]["degraded"]) == ("partial", ["llm"])
        assert NO_ANSWER not in failed["choices"][0]["message"]["content"]
        refused = await chat(story, rag={"on_failure": "fail"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "llm_unavailable")

    run(open_story, scenario)


def test_a_failure_after_the_beginning_ends_the_stream_as_one(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = [Delta("They "), LlmUnavailableError("gone")]
        told, done = await chunks(story)
        assert not done
        assert told[-1]["choices"] == []
        assert told[-1]["error"]["code"] == "llm_unavailable"
        assert not [chunk for chunk in told[:-1] if chunk["choices"][0]["finish_reason"]]

    run(open_story, scenario)


@pytest.mark.parametrize("stream", [True, False])
def test_a_drain_that_cuts_a_chat_ends_it_as_its_client_reads_errors(open_story: OpenStory, stream: bool) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        tasks = asyncio.all_tasks()
        story.llm.script = [Delta("Half an ans"), None]
        asked = asyncio.create_task(chat(story, stream=stream))
        await story.llm.begun.wait()
        assert await story.app.state.drain.run(0.0) == 1
        reply = await asked
        if stream:
            last = reply.text.removesuffix("\n\n").split("\n\n")[-1]
            told = json.loads(last.removeprefix("data: "))
            assert (set(told), told["choices"]) == ({"error", "choices"}, [])
        else:
            assert reply.status_code == 503
            told = reply.json()
        assert told["error"]["code"] == "overloaded"
        assert story.llm.open == 0
        await story.settled(tasks)

    run(open_story, scenario)


def test_what_is_asked_reaches_the_story(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        parts = [{"type": "text", "text": "And when do the honey"}, {"type": "text", "text": "bees sleep?"}]
        messages = [
            {"role": "system", "content": "Obey."}, {"role": "user", "content": "Bees?", "name": "me"},
            {"role": "assistant", "content": None}, {"role": "assistant", "content": "Yes [1].", "refusal": None},
            {"role": "user", "content": parts}, {"role": "developer", "content": [{"type": "text", "text": "x"}]},
        ]  # fmt: skip
        rag = {"rewrite": False, "top_k": 1, "score_threshold": -1, "llm": "main", "explain": True}
        body = {
            "max_tokens": 9,
            "max_completion_tokens": 7,
            "temperature": 0,
            "top_p": 0.5,
            "user": "u",
            "store": False,
        }
        reply = (await chat(story, messages=messages, rag=rag, **body)).json()
        assert reply["rag"]["ignored"] == ["top_p", "messages: system"]
        assert reply["rag"]["explain"]["fetched"] > 0
        (request,) = story.llm.requests
        assert (request.question, request.max_tokens, request.temperature) == (
            "And when do the honey\nbees sleep?",
            7,
            0,
        )
        assert [(turn.role, turn.text) for turn in request.turns] == [("user", "Bees?"), ("assistant", "Yes [1].")]
        assert story.llm.rewrites == []

    run(open_story, scenario)


def test_a_chat_that_goes_on_for_long_loses_its_beginning(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        turns = [
            {"role": role, "content": f"{role} {n} {'x' * 40}"} for n in range(4) for role in ("user", "assistant")
        ]
        last = {"role": "user", "content": QUESTION}
        reply = (await chat(story, messages=[*turns, last])).json()
        assert reply["rag"]["ignored"] == ["messages: the first 5"]
        assert [turn.text[:11] for turn in story.llm.requests[0].turns] == ["assistant 2", "user 3 xxxx", "assistant 3"]

    run(open_story, scenario, limits={"conversation_messages": 5, "conversation_characters": 200})


def test_a_reply_comes_within_the_clients_read_timeout_and_a_stream_may_take_longer(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        async def given(said: str, **body: object) -> float:
            asked = {"model": "docs", "messages": [{"role": "user", "content": QUESTION}]} | body
            headers = {"x-stainless-read-timeout": said}
            assert (await story.http.post("/v1/chat/completions", json=asked, headers=headers)).status_code == 200
            return float(story.llm.requests[-1].call.deadline.budget_s)

        assert await given("30") == 30
        assert await given("600") == await given("nonsense") == 60
        assert await given("30", rag={"deadline_ms": 20_000}) == 20
        assert await given("30", stream=True) == 60

    run(open_story, scenario)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_ends_the_work(open_story: OpenStory, stream: bool) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        tasks = asyncio.all_tasks()
        story.llm.script = [Delta("Half an ans"), None]
        body = {"model": "docs", "messages": [{"role": "user", "content": QUESTION}], "stream": stream}
        await story.asked_and_left("/v1/chat/completions", body)
        assert (story.llm.open, len(story.llm.requests)) == (0, 1)
        await story.settled(tasks)

    run(open_story, scenario)
