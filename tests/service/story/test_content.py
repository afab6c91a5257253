"""Content rules on the whole way: questions before anything sees them, answers whatever writes them, in every form."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import pytest

from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import fake_vllm
from service.generation.base import Cited, Delta, Event, Finished, Turn
from vllm_on_cpu.observing import until


class OpenStory(Protocol):
    def __call__(self, embedder: object = None, **settings: object) -> AbstractAsyncContextManager[Any]: ...


CARD, MASKED = "4111 1111 1111 1111", "[card]"
QUESTION = "When do the honey bees sleep?"
RULES = """
[[rule]]
name = "card"
pii = "credit_card"
in = ["question", "answer"]
action = "mask"

[[rule]]
name = "codename"
pattern = '\\bproject falcon\\b'
in = ["question", "answer"]
action = "block"

[[rule]]
name = "winter"
pattern = '\\bwinter\\b'
in = ["question", "answer"]
action = "flag"
"""
SAID = f"They sleep in winter [1], pay {CARD} [1]. So"


@pytest.fixture
def rules(tmp_path: Path) -> dict[str, Any]:
    """Settings with the rules above."""
    (tmp_path / "rules.toml").write_text(RULES)
    return {"content": {"rules": tmp_path / "rules.toml"}}


def run(open_story: OpenStory, scenario: Any, **settings: object) -> None:  # noqa: ANN401
    async def told() -> None:
        async with open_story(**settings) as story:
            await scenario(story)

    asyncio.run(told())


def script(text: str, size: int) -> list[Event]:
    """The text in pieces, none of which goes on behind a marker; its citation follows, as generators have it."""
    events: list[Event] = []
    start = 0
    for part in text.replace("[1]", "[1]\0").split("\0"):
        events += [Delta(part[place : place + size]) for place in range(0, len(part), size)]
        start += len(part)
        if part.endswith("[1]"):
            events.append(Cited(1, 0, 57, start - 3, start))
    return [*events, Finished("stop", usage={"completion_tokens": 9})]


async def everywhere(story: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """One answer in all four forms, each as query has it."""
    whole = (await story.ask()).json()
    told = await story.told()
    done = told[-1][1]
    assert "".join(data["text"] for event, data in told if event == "token") == done["answer"]
    stream = done | {"citations": [data for event, data in told if event == "citation"]}
    asked = {"model": "docs", "messages": [{"role": "user", "content": QUESTION}]}
    reply = (await story.http.post("/v1/chat/completions", json=asked)).json()
    (choice,) = reply["choices"]
    chat = reply["rag"] | {"answer": choice["message"]["content"], "finish_reason": choice["finish_reason"]}
    frames = (await story.http.post("/v1/chat/completions", json=asked | {"stream": True})).text.split("\n\n")
    assert frames[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]
    text = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)
    end = chunks[-1]["rag"] | {"answer": text, "finish_reason": chunks[-1]["choices"][0]["finish_reason"]}
    return [whole, stream, chat, end]


def counted(story: Any, rule: str, action: str, where: str) -> float:  # noqa: ANN401
    labels = {"rule": rule, "action": action, "where": where}
    registry = story.app.state.services.metrics.registry
    return registry.get_sample_value("quarry_content_matches_total", labels) or 0.0


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_a_masked_answer_is_the_same_in_every_form(open_story: OpenStory, rules: dict[str, Any], size: int) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = script(SAID, size)
        for reply in await everywhere(story):
            assert reply["answer"] == SAID.replace(CARD, MASKED)
            assert (reply["status"], reply["finish_reason"]) == ("ok", "stop")
            cited = [reply["answer"][each["answer_start"] : each["answer_end"]] for each in reply["citations"]]
            assert cited == ["[1]", "[1]"]
        assert counted(story, "card", "mask", "answer") == counted(story, "winter", "flag", "answer") == 4

    run(open_story, scenario, **rules)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_blocked_answer_ends_before_what_blocks_it(open_story: OpenStory, rules: dict[str, Any], size: int) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = [*script("They sleep [1]. Project Falcon is", size)[:-1], None]
        for reply in await everywhere(story):
            assert (reply["answer"], reply["status"]) == ("They sleep [1]. ", "blocked")
            assert (reply["finish_reason"], reply["no_answer_reason"]) == ("content_filter", None)
            assert [each["answer_start"] for each in reply["citations"]] == [11]
            assert reply["degraded"] == []
        assert story.llm.open == 0
        assert counted(story, "codename", "block", "answer") == 4

    run(open_story, scenario, **rules)


def test_what_blocks_may_end_with_the_answer_or_be_all_of_it(open_story: OpenStory, rules: dict[str, Any]) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.llm.script = script("project falcon", 3)
        for reply in await everywhere(story):
            assert (reply["answer"], reply["status"], reply["finish_reason"]) == ("", "blocked", "content_filter")

    run(open_story, scenario, **rules)


def test_quotes_of_documents_are_answers_too(open_story: OpenStory, rules: dict[str, Any]) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        text = f"The honey bees sleep on card {CARD} in the meadow."
        await story.http.put("/v1/collections/docs/documents/bees", json={"text": text})
        reply = (await story.ask(llm="extractive", query="Do the honey bees sleep on a card in the meadow?")).json()
        assert reply["answer"] == f"The honey bees sleep on card {MASKED} in the meadow. [1]"
        (citation,) = reply["citations"]
        assert reply["answer"][citation["answer_start"] : citation["answer_end"]] == "[1]"
        assert citation["quote"] == reply["chunks"][0]["text"] == text

    run(open_story, scenario, **rules)


TURNS = [{"role": "user", "content": f"My card is {CARD}."}, {"role": "assistant", "content": f"{CARD} it is."}]


def test_nothing_sees_a_question_as_it_was(open_story: OpenStory, rules: dict[str, Any], scripted: Any) -> None:  # noqa: ANN401
    async def scenario(story: Any) -> None:  # noqa: ANN401
        messages = [*TURNS, {"role": "user", "content": f"Do honey bees sleep on {CARD}?"}]
        for body in ({"messages": messages}, {"messages": messages, "stream": True}):
            await story.ask(query=None, **body)
        await story.http.post("/v1/chat/completions", json={"model": "docs", "messages": messages})
        for question, turns, _ in story.llm.rewrites:
            assert question == f"Do honey bees sleep on {MASKED}?"
            assert turns == [Turn("user", f"My card is {MASKED}."), Turn("assistant", f"{MASKED} it is.")]
        for request in story.llm.requests:
            assert "4111" not in repr((request.question, request.turns))
        assert (len(story.llm.rewrites), len(story.llm.requests)) == (3, 3)
        assert counted(story, "card", "mask", "question") == 9

        reply = (await story.ask(query=f"Do honey bees sleep on {CARD}?", rewrite=False)).json()
        assert reply["searched"] == f"Do honey bees sleep on {MASKED}?"
        found = await story.ask("/v1/search", query=f"bees {CARD}", explain=True)
        assert "4111" not in found.text
        assert not [text for text in story.embedder.tokenized if "4111" in text]

    embedder = scripted()

    async def told() -> None:
        async with open_story(embedder, **rules) as story:
            story.embedder = embedder
            await scenario(story)

    asyncio.run(told())


ASKED: Sequence[tuple[str, dict[str, Any], str]] = [
    ("/v1/search", {"query": "project  falcon, project falcon"}, "query"),
    ("/v1/query", {"query": "Is Project Falcon a bee?"}, "query"),
    ("/v1/query", {"query": "Is Project Falcon a bee?", "stream": True}, "query"),
    ("/v1/query", {"query": None, "messages": [{"role": "user", "content": "\uff30roject f\u200balcon?"}]}, "messages"),
    (
        "/v1/query",
        {"query": None, "messages": [{"role": "user", "content": c} for c in ("project falcon", "What is it?")]},
        "messages",
    ),
    ("/v1/embeddings", {"input": ["fine", "project falcon"], "input_type": "query"}, "input"),
    ("/v1/embeddings", {"input": "project falcon", "model": "hashing-256-query"}, "input"),
]


@pytest.mark.parametrize(("route", "body", "param"), ASKED)
def test_a_blocked_question_is_refused(
    open_story: OpenStory, rules: dict[str, Any], route: str, body: dict[str, Any], param: str
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        if route == "/v1/embeddings":
            default = (await story.http.get("/v1/models")).json()
            name = story.app.state.services.embedders.default.info.name
            assert default
            sent = body | ({"model": f"{name}-query"} if "model" in body else {})
            reply = await story.http.post(route, json=sent)
        else:
            reply = await story.ask(route, **body)
        problem = reply.json()
        assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")
        assert problem["error"] == {
            "message": problem["detail"], "type": "invalid_request_error", "param": param, "code": "content_blocked",
        }  # fmt: skip
        assert "'codename'" in problem["detail"]
        assert "falcon" not in reply.text.casefold()
        assert (story.llm.requests, story.llm.rewrites) == ([], [])
        assert counted(story, "codename", "block", "question") >= 1

    run(open_story, scenario, **rules)


def test_a_chat_is_refused_like_a_query(open_story: OpenStory, rules: dict[str, Any]) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        for stream in (False, True):
            asked = {"model": "docs", "messages": [{"role": "user", "content": "project falcon"}], "stream": stream}
            reply = await story.http.post("/v1/chat/completions", json=asked)
            assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_blocked")

    run(open_story, scenario, **rules)


def test_documents_that_are_embedded_are_nobodys_question(open_story: OpenStory, rules: dict[str, Any]) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        for kind in ({}, {"input_type": "document"}):
            reply = await story.http.post("/v1/embeddings", json={"input": "project falcon"} | kind)
            assert reply.status_code == 200

    run(open_story, scenario, **rules)


def test_what_a_model_makes_of_a_question_is_screened_again(open_story: OpenStory, rules: dict[str, Any]) -> None:
    """Parts that are harmless may make a whole that is not."""

    async def scenario(story: Any) -> None:  # noqa: ANN401
        messages = [{"role": "user", "content": content} for content in ("Which project?", "Falcon?")]
        story.llm.rewritten = "What is project Falcon?"
        reply = await story.ask(query=None, messages=messages)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_blocked")

    run(open_story, scenario, **rules)


def test_a_long_conversation_is_screened_too(open_story: OpenStory, rules: dict[str, Any]) -> None:
    """On a thread, which changes nothing else."""

    async def scenario(story: Any) -> None:  # noqa: ANN401
        long = f"{'bees and more bees ' * 2000}{CARD}"
        said = [{"role": "user", "content": long}, {"role": "user", "content": QUESTION}]
        assert (await story.ask(query=None, messages=said)).status_code == 200
        assert [turn.text for turn in story.llm.requests[0].turns] == [long.replace(CARD, MASKED)]
        said[0]["content"] = f"{long} project falcon"
        reply = await story.ask(query=None, messages=said)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "content_blocked")

    run(open_story, scenario, **rules)


def test_a_question_of_which_nothing_is_left_is_blank(open_story: OpenStory, tmp_path: Path) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        reply = await story.ask(query=CARD)
        assert (reply.status_code, reply.json()["detail"]) == (400, "query is blank")

    (tmp_path / "rules.toml").write_text(RULES.replace('action = "mask"', 'action = "mask"\nreplacement = ""'))
    run(open_story, scenario, content={"rules": tmp_path / "rules.toml"})


def test_without_rules_nothing_is_added_to_an_answers_way(open_story: OpenStory) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        services = story.app.state.services
        assert services.screen.answer("r1") is None
        story.llm.script = script(SAID, 5)
        told = await story.told()
        assert [data["text"] for event, data in told if event == "token"] == [
            event.text for event in story.llm.script if isinstance(event, Delta)
        ]

    run(open_story, scenario)


@pytest.mark.parametrize("stream", [False, True])
def test_a_block_in_mid_stream_frees_the_sequence_at_the_model_server(
    open_story: OpenStory, rules: dict[str, Any], *, stream: bool
) -> None:
    text = "They sleep in project falcon and " + "go on and on " * 400

    async def scenario(story: Any) -> None:  # noqa: ANN401
        body = {"query": QUESTION, "collection": "docs", "stream": stream}
        reply = await story.http.post("/v1/query", json=body, timeout=200)
        assert "content_filter" in reply.text
        assert "falcon" not in reply.text
        await asyncio.to_thread(until, lambda: fake.state()["running"] == 0)
        slots = story.app.state.services.metrics.registry.get_sample_value("quarry_llm_slots", {"llm": "main"})
        assert slots == 0
        assert fake.state()["aborted"] == 1

    with fake_vllm(Options(model="tiny", ttft_ms=1, itl_ms=20)) as fake:
        fake.script({"text": text})
        run(open_story, scenario, url=fake.url, **rules)
