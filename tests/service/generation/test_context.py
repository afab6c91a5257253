"""What a model holds, as its server says it, and what becomes of a prompt that is longer."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import pytest

import scripted_llm as llm
from scripted_llm import ScriptedLlm, eventually, said, usage
from service.budget import Deadline
from service.errors import PromptTooLongError
from service.generation.base import Finished, GenerationRequest, LlmCall
from service.generation.served_tokens import ServedTokens
from service.generation.supervision import Supervision
from service.generation.work import Work

Ask = Callable[..., GenerationRequest]
Open = Callable[..., AbstractAsyncContextManager[Any]]

YES = llm.answering(said("Yes."), usage())
MESSAGES = [{"role": "user", "content": "Why?"}]
LONG = "word " * 300


def too_long(context: int | None) -> llm.Behaviour:
    limit = f" is {context} tokens" if context else ""
    return llm.error(400, f"This model's maximum context length{limit}. However, your prompt is longer.")


@pytest.mark.parametrize(("listed", "context"), [(4096, 4096), (100_000, 8192), (None, 8192), ("many", 8192)])
def test_the_smaller_of_what_is_configured_and_what_is_served(listed: object, context: int, opened: Open) -> None:
    async def scenario() -> None:
        cards = [{"id": "other", "max_model_len": 600}, {"id": "tiny", "max_model_len": listed}]
        server = ScriptedLlm(models=llm.replying(200, {"object": "list", "data": cards}))
        async with opened(server, watched=True, context=8192) as it:
            await eventually(lambda: it.generator.describe()["context"] == context)
            assert it.generator.trouble is None

    asyncio.run(scenario())


def test_a_supervised_server_says_it_once_it_is_ready(opened: Open) -> None:
    async def scenario() -> None:
        supervision = Supervision()
        supervision.enter("starting")
        not_there = llm.error(503, "starting")
        server = ScriptedLlm(models=not_there)
        async with opened(server, watched=True, supervision=supervision, context=8192) as it:
            await eventually(lambda: server.of("/v1/models"))
            cards = [{"id": "tiny", "max_model_len": 4096}]
            server.models = llm.replying(200, {"object": "list", "data": cards})
            supervision.enter("ready")
            await eventually(lambda: it.generator.describe()["context"] == 4096)

    asyncio.run(scenario())


@pytest.mark.parametrize("body", [{"data": 5}, {"data": [5]}, {}, [], b"<html>"])
def test_a_list_that_is_none_is_no_trouble(body: object, opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm(models=llm.replying(200, body))
        async with opened(server, watched=True) as it:
            await eventually(lambda: server.of("/v1/models"))
            await it.ask(asked())
            assert it.generator.describe()["context"] == 8192
            assert it.generator.trouble is None

    asyncio.run(scenario())


def test_a_prompt_too_long_becomes_fewer_passages(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([too_long(2048), too_long(2048), YES])
        async with opened(server) as it:
            finished = (await it.ask(asked(passages=30, text=LONG)))[-1]
            assert isinstance(finished, Finished)
            sizes = [len(str(request.body["messages"])) for request in server.asked]
            assert sizes == sorted(sizes, reverse=True)
            assert len(set(sizes)) == 3
            assert 0 < finished.left_out < 30
            assert it.generator.describe()["context"] == 2048
            assert it.generator.trouble is None
            assert it.metric("quarry_llm_slots") == 0

    asyncio.run(scenario())


def test_an_answer_longer_than_the_context_is_asked_for_shorter(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        refused = llm.error(400, "max_tokens=4000 cannot be greater than max_model_len=2048.")
        server = ScriptedLlm([refused, YES])
        async with opened(server) as it:
            await it.ask(replace(asked(), max_tokens=4000))
            assert [request.body["max_tokens"] for request in server.asked] == [4000, 1024]

    asyncio.run(scenario())


def test_what_the_server_does_not_say_is_found_from_what_it_was_sent(opened: Open, asked: Ask) -> None:
    """However large the settings take the context for."""

    async def scenario() -> None:
        refused = llm.error(400, "max_tokens must be at least 1, got 0.")
        server = ScriptedLlm([refused, YES])
        async with opened(server, context=1_000_000) as it:
            finished = (await it.ask(asked(passages=30, text=LONG)))[-1]
            assert isinstance(finished, Finished)
            assert 0 < finished.left_out < 30
            assert len(server.asked) == 2

    asyncio.run(scenario())


def test_it_is_tried_a_few_times_only(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([too_long(None)])
        async with opened(server) as it:
            with pytest.raises(PromptTooLongError):
                await it.ask(asked(passages=30, text=LONG))
            assert len(server.asked) == 4
            assert it.metric("quarry_llm_slots") == 0

    asyncio.run(scenario())


def test_a_prompt_that_may_be_too_long_is_counted_by_vllm_and_only_then(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([YES], tokenize=llm.replying(200, {"count": 100}))
        async with opened(server, server="vllm", context=2048) as it:
            await it.ask(asked())
            assert server.of("/tokenize") == []
            finished = (await it.ask(asked(passages=10, text=LONG)))[-1]
            assert isinstance(finished, Finished)
            assert finished.left_out == 0  # it has fewer tokens than its bytes, as the server says
            assert len(server.of("/tokenize")) == 1

    asyncio.run(scenario())


def test_vllm_counts_a_prompt(opened: Open) -> None:
    async def scenario() -> None:
        counted = {"count": 42, "max_model_len": 2048, "tokens": [1] * 42}
        server = ScriptedLlm(tokenize=llm.replying(200, counted))
        async with opened(server, server="vllm") as it:
            async with it.generator.pool.admitted(LlmCall(Deadline.after(60_000)), Work(0, 1)) as admitted:
                assert await ServedTokens(admitted).count(MESSAGES) == 42
            body = server.of("/tokenize")[0].body
            assert body == {"model": "tiny", "messages": MESSAGES, "add_generation_prompt": True}

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "reply", [llm.replying(404, {}), llm.replying(200, {"count": "x"}), llm.replying(200, b"<"), llm.torn, llm.silent]
)
def test_a_server_that_does_not_count(reply: llm.Behaviour, opened: Open, asked: Ask) -> None:
    """An estimate decides, and there is time left for the answer."""

    async def scenario() -> None:
        server = ScriptedLlm([YES], tokenize=reply)
        async with opened(server, server="vllm", context=2048) as it:
            async with it.generator.pool.admitted(LlmCall(Deadline.after(400)), Work(0, 1)) as admitted:
                assert await ServedTokens(admitted).count(MESSAGES) is None
            finished = (await it.ask(asked(4000, passages=10, text=LONG)))[-1]
            assert isinstance(finished, Finished)
            assert finished.left_out > 0
            assert len(server.of("/tokenize")) == 2

    asyncio.run(scenario())
