"""Questions that are the last message of a conversation."""

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import pytest

from indexes.base import Hybrid, SearchParams, Vectors
from indexes.local_collection import LocalCollection
from indexes.searched import Searched
from service.errors import LlmUnavailableError
from service.generation.base import Delta, Finished, Priority, Turn


class OpenStory(Protocol):
    def __call__(self, embedder: object = None, **settings: object) -> AbstractAsyncContextManager[Any]: ...


TURNS = [
    {"role": "user", "content": "Which animals sleep in winter?"},
    {"role": "assistant", "content": "Honey bees do [1]."},
]
LAST = "And where do the honey bees sleep?"
MESSAGES = [*TURNS, {"role": "user", "content": LAST}]
REWRITTEN = "Where do honey bees sleep in winter?"


def run(open_story: OpenStory, scenario: Any, **settings: object) -> None:  # noqa: ANN401
    async def told() -> None:
        async with open_story(**settings) as story:
            story.llm.script = [Delta("In the meadow [1]."), Finished("stop")]
            story.llm.rewritten = f" {REWRITTEN}\n"
            await scenario(story)

    asyncio.run(told())


def test_what_is_searched_stands_alone_and_what_is_answered_is_what_was_asked(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        reply = await story.ask(query=None, messages=MESSAGES)
        body = reply.json()
        assert (body["status"], body["searched"], body["degraded"]) == ("ok", REWRITTEN, [])
        assert body["timings_ms"]["rewrite"] > 0
        assert body["chunks"] == (await story.ask("/v1/search", query=REWRITTEN)).json()["chunks"]
        ((question, turns, call),) = story.llm.rewrites
        expected = [Turn("user", TURNS[0]["content"]), Turn("assistant", TURNS[1]["content"])]
        assert (question, list(turns)) == (LAST, expected)
        assert (call.priority, call.tenant) == (Priority.REWRITE, "collection:docs")
        assert call.request_id == reply.headers["x-request-id"]
        request = story.llm.requests[0]
        assert (request.question, list(request.turns)) == (LAST, expected)
        assert (await story.told(query=None, messages=MESSAGES))[0][1]["searched"] == REWRITTEN

    run(open_story, scenario)


def test_what_a_question_was_rewritten_to_is_prepared_as_others_are(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.rewritten = REWRITTEN.replace(" ", " \u200b ")
        body = (await story.ask(query=None, messages=MESSAGES, explain=True)).json()
        assert (body["searched"], body["degraded"]) == (REWRITTEN, [])
        assert [step["step"] for step in body["explain"]["query"]["steps"]] == ["invisible", "whitespace"]
        assert story.llm.requests[0].question == LAST

    run(open_story, scenario)


def test_words_are_those_of_the_question_as_it_was_rewritten(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_for: list[Hybrid | None] = []
    search = LocalCollection.searched

    def searched(collection: LocalCollection, query: Vectors, params: SearchParams) -> Searched:
        looked_for.append(params.hybrid)
        return search(collection, query, params)

    monkeypatch.setattr(LocalCollection, "searched", searched)

    async def scenario(story: Any) -> None:  # noqa: ANN401
        await story.ask(query=None, messages=MESSAGES, hybrid={"enabled": True, "weight": 0.25})
        assert looked_for == [Hybrid(REWRITTEN, 0.25)]

    run(open_story, scenario)


def test_a_question_alone_is_not_rewritten(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        alone = (await story.ask(query=None, messages=MESSAGES[-1:])).json()
        assert (alone["searched"], story.llm.rewrites) == (LAST, [])
        assert "rewrite" not in alone["timings_ms"]

    run(open_story, scenario)


@pytest.mark.parametrize(("settings", "asked"), [({}, False), ({"answer": {"rewrite": False}}, None)])
def test_rewriting_can_be_turned_off(open_story: OpenStory, settings: dict[str, object], asked: bool | None) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        body = (await story.ask(query=None, messages=MESSAGES, rewrite=asked)).json()
        assert (body["searched"], body["degraded"], story.llm.rewrites) == (LAST, [], [])
        if asked is None:
            assert (await story.ask(query=None, messages=MESSAGES, rewrite=True)).json()["searched"] == REWRITTEN

    run(open_story, scenario, **settings)


def test_without_a_language_model_nothing_is_rewritten_and_nothing_lost(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        body = (await story.ask(query=None, messages=MESSAGES, llm="extractive")).json()
        assert (body["searched"], body["degraded"], story.llm.rewrites) == (LAST, [], [])

    run(open_story, scenario)


@pytest.mark.parametrize("rewritten", [LlmUnavailableError("gone"), "  ", "\u200b\u2060", "x" * 10_000, None])
@pytest.mark.parametrize("on_failure", ["degrade", "fail"])
def test_a_rewrite_that_fails_or_is_late_costs_only_itself(
    open_story: OpenStory, rewritten: object, on_failure: str
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        tasks = asyncio.all_tasks()
        story.llm.rewritten = rewritten
        body = (await story.ask(query=None, messages=MESSAGES, on_failure=on_failure)).json()
        assert (body["status"], body["degraded"], body["searched"]) == ("partial", ["rewrite"], LAST)
        assert body["answer"] == "In the meadow [1]."
        assert body["timings_ms"]["rewrite"] > 0
        found = (await story.ask(query=None, messages=MESSAGES, generate=False, on_failure=on_failure)).json()
        assert (found["status"], found["degraded"], found["answer"]) == ("partial", ["rewrite"], None)
        told = await story.told(query=None, messages=MESSAGES, on_failure=on_failure)
        assert told[-1][1]["degraded"] == ["rewrite"]
        await story.settled(tasks)

    run(open_story, scenario, budgets={"rewrite_ms": 50})


def test_a_model_in_trouble_is_not_asked_to_rewrite(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.trouble = "starting"
        body = (await story.ask(query=None, messages=MESSAGES)).json()
        assert (body["degraded"], story.llm.rewrites) == (["rewrite", "llm"], [])

    run(open_story, scenario)


BAD = [
    ({"query": "x", "messages": MESSAGES}, 422, "give either query or messages"),
    ({"query": None}, 422, "give either query or messages"),
    ({"messages": []}, 422, "messages: List should have at least 1 item"),
    ({"messages": TURNS}, 422, "the last of messages is the question: its role must be user"),
    ({"messages": [{"role": "system", "content": "Obey."}, *MESSAGES]}, 422,
     "messages.0.role: system messages are not taken"),
    ({"messages": [{"role": "tool", "content": "x"}]}, 422, "'user' or 'assistant'; got 'tool'"),
    ({"messages": [{"role": "user", "content": ""}]}, 422, "messages.0.content: String should have at least 1"),
    ({"messages": [{"role": "user", "content": "x", "name": "me"}]}, 422, "messages.0.name: Extra inputs"),
    ({"messages": [{"role": "user", "content": " "}]}, 400, "the last message is blank"),
    ({"messages": [*TURNS, *TURNS, *MESSAGES[-1:]]}, 400, "messages are 5; the limit is 4"),
    ({"messages": [{"role": "user", "content": "x" * 101}]}, 400,
     "the question in messages has 101 characters; the limit is 100"),
    ({"messages": [{"role": "user", "content": "x" * 150}, {"role": "user", "content": "x" * 51}]}, 400,
     "messages have 201 characters; the limit is 200"),
    ({"query": "x", "rewrite": "no"}, 422, "rewrite: Input should be a valid boolean"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status", "said"), BAD)
def test_what_is_no_conversation(open_story: OpenStory, body: dict[str, Any], status: int, said: str) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        reply = await story.ask(**{"query": None} | body)
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, "invalid_request")
        assert said in reply.json()["detail"]
        assert story.llm.rewrites == story.llm.requests == []

    limits = {"conversation_messages": 4, "conversation_characters": 200, "query_characters": 100}
    run(open_story, scenario, limits=limits)
