"""Several servers of one model: what becomes of a question whose server fails, and of the server."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any

import pytest

import scripted_llm as llm
from llm_pool import YES, answering, counts, served, text
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import FakeVllm, fake_vllm
from scripted_llm import ScriptedLlm, eventually, said
from service.budget import Deadline
from service.errors import (
    GenerationError,
    LlmNotAskedError,
    LlmRefusedError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from service.generation.base import Event, GenerationRequest, LlmCall, Turn
from service.generation.openai import OpenAIGenerator
from service.llm_settings import LlmSettings

Ask = Callable[..., GenerationRequest]
OpenPool = Callable[..., AbstractAsyncContextManager[Any]]

BUSY = llm.error(503, "The engine is currently busy")
LONG = "word " * 300


def test_a_server_that_is_killed_costs_nobody_who_has_seen_nothing_yet(asked: Ask) -> None:
    questions = 12

    async def scenario(doomed: FakeVllm, ends: ExitStack, urls: list[str]) -> None:
        generator = OpenAIGenerator(LlmSettings(urls=urls, model="tiny"), urls)
        await generator.start()
        asking = [asyncio.create_task(_all(generator, asked(200_000))) for _ in range(questions)]
        doomed_has = 0
        async with asyncio.timeout(llm.PATIENCE_S):
            while doomed_has < questions // 2 - 1:
                doomed_has = (await asyncio.to_thread(doomed.state))["running"]
        await asyncio.to_thread(ends.close)
        outcomes = await asyncio.gather(*asking, return_exceptions=True)
        assert [outcome for outcome in outcomes if isinstance(outcome, BaseException)] == []
        for _ in range(5):
            text(await _all(generator, asked(200_000)))
        await generator.close()

    with ExitStack() as ends, fake_vllm(Options(model="tiny", ttft_ms=1, itl_ms=0)) as other:
        doomed = ends.enter_context(fake_vllm(Options(model="tiny")))
        doomed.script(engine="hung")
        asyncio.run(scenario(doomed, ends, [doomed.url, other.url]))
        assert other.state()["finished"] >= questions + 5


async def _all(generator: OpenAIGenerator, request: GenerationRequest) -> list[Event]:
    return [event async for event in generator.generate(request)]


@pytest.mark.parametrize(
    "fault",
    [
        BUSY,
        llm.error(500, "EngineCore encountered an issue"),
        llm.error(429, "slow down"),
        llm.torn,
        llm.torn_after(),
        llm.torn_after(llm.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})),
        llm.answering(llm.event({"error": {"message": "EngineDeadError", "code": 500}})),
    ],
    ids=["busy", "dead", "too many", "reset", "reset after the head", "reset after the role", "error in the stream"],
)
def test_what_fails_before_its_first_token_is_asked_of_the_next(
    opened_pool: OpenPool, asked: Ask, fault: llm.Behaviour
) -> None:
    async def scenario() -> None:
        failing, well = ScriptedLlm([fault]), answering()
        async with opened_pool(failing, well) as it:
            assert text(await it.ask(asked())) == "Yes."
            assert counts(failing, well) == [1, 1]
            assert it.metric("quarry_llm_moves_total") == 1
            assert it.metric("quarry_llm_retries_total") == 0
            assert it.metric("quarry_llm_requests_total", outcome="ok") == 1
            assert (
                sum(it.metric("quarry_llm_requests_total", outcome=one) for one in ("unavailable", "overloaded")) == 0
            )
            assert it.generator.describe()["streams"] == 0

    asyncio.run(scenario())


def test_a_refused_connection_goes_to_the_next(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        well = answering()
        async with well.listening():
            urls = ["http://127.0.0.1:9", well.url]
            generator = OpenAIGenerator(LlmSettings(urls=urls, model="tiny"), urls)
            assert text(await _all(generator, asked())) == "Yes."
            await generator.close()

    asyncio.run(scenario())


def test_a_rewritten_question_too(opened_pool: OpenPool) -> None:
    async def scenario() -> None:
        failing, well = ScriptedLlm([llm.torn]), ScriptedLlm([llm.answering(said("Which keys rotate?"))])
        turns = [Turn("user", "Do keys rotate?"), Turn("assistant", "Some.")]
        async with opened_pool(failing, well) as it:
            call = LlmCall(Deadline.after(60_000))
            assert await it.generator.standalone("Which?", turns, call) == "Which keys rotate?"

    asyncio.run(scenario())


@pytest.mark.parametrize("thought", [False, True])
def test_nothing_goes_to_the_next_once_something_was_said(opened_pool: OpenPool, asked: Ask, thought: bool) -> None:
    name = "reasoning" if thought else "content"
    some = llm.event({"choices": [{"index": 0, "delta": {name: "Some"}, "finish_reason": None}]})

    async def scenario() -> None:
        failing, well = ScriptedLlm([llm.torn_after(some)]), answering()
        async with opened_pool(failing, well) as it:
            with pytest.raises(LlmUnavailableError):
                await it.ask(asked())
            assert counts(failing, well) == [1, 0]
            assert it.metric("quarry_llm_requests_total", outcome="unavailable") == 1

    asyncio.run(scenario())


def test_nor_what_the_request_is_at_fault_for(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        refusing, well = ScriptedLlm([llm.error(400, "wrong")]), answering()
        async with opened_pool(refusing, well) as it:
            with pytest.raises(LlmRefusedError):
                await it.ask(asked())
            assert counts(refusing, well) == [1, 0]

    asyncio.run(scenario())


def test_nor_what_is_late_at_a_server_that_is_well(opened_pool: OpenPool, asked: Ask) -> None:
    """It may only be busy, and the next would be twice as busy for it."""

    async def scenario() -> None:
        late, well = ScriptedLlm([llm.silent]), answering()
        async with opened_pool(late, well) as it:
            with pytest.raises(LlmTimeoutError):
                await it.ask(asked(400))
            assert counts(late, well) == [1, 0]

    asyncio.run(scenario())


def test_it_goes_to_the_next_once(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        servers = [ScriptedLlm([llm.torn]) for _ in range(3)]
        async with opened_pool(*servers) as it:
            with pytest.raises(LlmUnavailableError):
                await it.ask(asked())
            assert counts(*servers) == [1, 1, 0]
            assert it.metric("quarry_llm_requests_total", outcome="unavailable") == 1

    asyncio.run(scenario())


def test_it_waits_for_a_place_at_the_next_ahead_of_others(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        breaks, gate = asyncio.Event(), asyncio.Event()

        async def break_(connection: llm.Connection) -> None:
            await breaks.wait()
            await llm.torn(connection)

        failing, well = ScriptedLlm([break_]), ScriptedLlm([llm.gated(gate, said("Yes.")), YES])
        async with opened_pool(failing, well, max_streams=1) as it:
            moved = asyncio.create_task(it.ask(asked(request_id="moved")))
            await eventually(lambda: failing.asked)
            writing = asyncio.create_task(it.ask(asked(request_id="writing")))
            await eventually(lambda: well.asked)
            waiting = asyncio.create_task(it.ask(asked(request_id="waiting")))
            await eventually(lambda: it.metric("quarry_llm_queue") == 1)
            it.generator.pool.servers[0].is_drained = True  # or it would have its turn there
            breaks.set()
            await eventually(lambda: it.metric("quarry_llm_queue") == 2)
            assert it.metric("quarry_llm_slots") == 1
            gate.set()
            for each in (moved, writing, waiting):
                assert text(await each) == "Yes."
            assert [one.headers["x-request-id"] for one in well.asked] == ["writing", "moved", "waiting"]

    asyncio.run(scenario())


def test_a_frozen_server_is_left_by_those_who_wait_for_it(
    opened_pool: OpenPool, asked: Ask, in_a_hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline is far away, and no request has failed: its silence alone leads to a canary."""
    monkeypatch.setattr("service.generation.server_health._LATE_UNKNOWN_S", 0.02)
    monkeypatch.setattr("service.generation.model_server._CANARY_MS", 2000)

    async def scenario() -> None:
        frozen, well = ScriptedLlm([llm.silent, YES], canary=llm.silent), answering()
        thawed = answering().canary
        async with opened_pool(frozen, well, watched=True) as it:
            assert text(await it.ask(asked(2_000_000))) == "Yes."
            assert counts(frozen, well) == [1, 1]
            for _ in range(3):
                await it.ask(asked())
            assert counts(frozen, well) == [1, 4]
            assert it.metric("quarry_llm_server_state", server=frozen.url) == 2
            assert it.metric("quarry_llm_breaker_state") == 0
            assert it.generator.describe()["state"] == "ready"
            assert "canary" in served(it, frozen)["state"]
            frozen.canary = thawed
            await eventually(lambda: it.metric("quarry_llm_server_state", server=frozen.url) == 0)
            await it.ask(asked())
            assert counts(frozen, well) == [2, 4]

    asyncio.run(scenario())


def test_all_down_is_known_and_nothing_is_asked(opened_pool: OpenPool, asked: Ask, in_a_hurry: None) -> None:
    async def scenario() -> None:
        dead = llm.error(500, "EngineCore encountered an issue")
        servers = [ScriptedLlm([dead], canary=dead) for _ in range(2)]
        async with opened_pool(*servers, watched=True) as it:
            while it.generator.trouble is None:
                with pytest.raises(GenerationError):
                    await it.ask(asked())
            before = counts(*servers)
            with pytest.raises(LlmNotAskedError, match="none of 2 servers can be asked"):
                await it.ask(asked())
            assert counts(*servers) == before
            assert max(before) <= 6  # three failures each, at most one more for what is tried again
            assert it.metric("quarry_llm_breaker_state") > 0
            assert it.generator.describe()["state"] != "ready"
            servers[1].canary, servers[1].answers = answering().canary, [YES]
            await eventually(lambda: it.generator.trouble is None)
            assert text(await it.ask(asked())) == "Yes."

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ({"id": "other", "max_model_len": 4096}, "it serves 'other', not 'tiny'"),
        ({"id": "tiny", "max_model_len": 16}, "it holds 16 tokens; 512 are the least"),
    ],
    ids=["another model", "hardly a context"],
)
def test_a_server_of_something_else_is_asked_nothing_until_it_is_put_right(
    opened_pool: OpenPool, asked: Ask, in_a_hurry: None, card: dict[str, object], why: str
) -> None:
    async def scenario() -> None:
        hostile, well = answering(), answering()
        right, hostile.models = hostile.models, llm.replying(200, {"data": [card]})
        alive, hostile.canary = hostile.canary, llm.error(404, "The model `tiny` does not exist.")
        async with opened_pool(hostile, well, watched=True) as it:
            await eventually(lambda: served(it, hostile)["state"] == why)
            for _ in range(3):
                await it.ask(asked())
            assert counts(hostile, well) == [0, 3]
            assert it.generator.describe()["context"] == 4096
            hostile.models, hostile.canary = right, alive
            await eventually(lambda: served(it, hostile)["state"] == "ready")
            await it.ask(asked())
            assert counts(hostile, well) == [1, 3]

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_refuses_key_or_model_is_left_by_the_first_who_meets_it(
    opened_pool: OpenPool, asked: Ask, in_a_hurry: None, status: int
) -> None:
    async def scenario() -> None:
        refused = llm.error(status, "no such thing")
        hostile, well = ScriptedLlm([refused], canary=refused, models=llm.replying(404, {})), answering()
        async with opened_pool(hostile, well, watched=True) as it:
            for _ in range(3):
                assert text(await it.ask(asked())) == "Yes."
            assert counts(hostile, well) == [1, 3]
            assert f"replied {status}" in served(it, hostile)["state"]

    asyncio.run(scenario())
