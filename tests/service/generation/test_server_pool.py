"""Several servers of one model: which of them is asked, and what becomes of a question whose server fails."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from typing import Any

import pytest

import scripted_llm as llm
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import FakeVllm, fake_vllm
from scripted_llm import ScriptedLlm, eventually, said, usage
from service.budget import Deadline
from service.errors import (
    GenerationError,
    LlmNotAskedError,
    LlmOverloadedError,
    LlmRefusedError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from service.generation.base import Delta, Event, Finished, GenerationRequest, LlmCall, Priority, Turn
from service.generation.openai import OpenAIGenerator
from service.llm_settings import LlmSettings

Ask = Callable[..., GenerationRequest]
OpenPool = Callable[..., AbstractAsyncContextManager[Any]]

YES = llm.answering(said("Yes."), usage())
BUSY = llm.error(503, "The engine is currently busy")
LONG = "word " * 300


def answering() -> ScriptedLlm:
    return ScriptedLlm([YES])


def counts(*servers: ScriptedLlm) -> list[int]:
    return [len(server.asked) for server in servers]


def text(events: Sequence[Event]) -> str:
    assert isinstance(events[-1], Finished)
    return "".join(event.text for event in events if isinstance(event, Delta))


def served(it: Any, server: ScriptedLlm) -> dict[str, Any]:  # noqa: ANN401
    """The server as the status page has it."""
    found: list[dict[str, Any]] = it.generator.describe()["servers"]
    return next(one for one in found if one["url"] == server.url)


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of a server in production would be those of the tests."""
    monkeypatch.setattr("service.generation.canary._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("service.generation.canary._LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr("service.generation.canary._REST_S", 0.01)


def test_the_one_with_the_fewest_outstanding_tokens_is_asked(opened_pool: OpenPool, asked: Ask) -> None:
    """A long prompt at the first outweighs several short ones at the second."""

    async def scenario() -> None:
        gate = asyncio.Event()
        first, second = (ScriptedLlm([llm.gated(gate, said("Yes."))]) for _ in range(2))
        async with opened_pool(first, second) as it:
            asking = [asyncio.create_task(it.ask(asked(passages=20, text=LONG)))]
            await eventually(lambda: counts(first, second) == [1, 0])
            for short in (1, 2, 3):
                asking.append(asyncio.create_task(it.ask(asked())))
                await eventually(lambda short=short: counts(first, second) == [1, short])
            longer, shorter = served(it, first), served(it, second)
            assert (longer["streams"], shorter["streams"]) == (1, 3)
            assert longer["outstanding_tokens"] > shorter["outstanding_tokens"] > 3 * 64
            assert it.metric("quarry_llm_server_streams", server=second.url) == 3
            told = it.metric("quarry_llm_server_outstanding_tokens", server=first.url)
            assert told == longer["outstanding_tokens"]
            gate.set()
            await asyncio.gather(*asking)
            assert it.generator.describe()["streams"] == 0
            assert [served(it, one)["outstanding_tokens"] for one in (first, second)] == [0, 0]
            assert it.metric("quarry_llm_server_requests_total", server=second.url, outcome="ok") == 3

    asyncio.run(scenario())


def test_what_is_written_is_outstanding_no_more(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        first, second = (ScriptedLlm([llm.paused(gate, said("Yes "), said("no."))]) for _ in range(2))
        async with opened_pool(first, second) as it:
            asking = [asyncio.create_task(it.ask(asked(passages=20, text=LONG)))]
            # Its prompt is read: what is left of it is less than a short question that nothing was read of.
            await eventually(lambda: served(it, first)["outstanding_tokens"] == 63)
            asking.append(asyncio.create_task(it.ask(asked())))
            await eventually(lambda: second.asked)
            await eventually(lambda: served(it, second)["outstanding_tokens"] == 63)
            gate.set()
            await asyncio.gather(*asking)

    asyncio.run(scenario())


def test_among_equals_the_first_is_asked(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        servers = answering(), answering()
        async with opened_pool(*servers) as it:
            for _ in range(3):
                await it.ask(asked())
            assert counts(*servers) == [3, 0]

    asyncio.run(scenario())


def test_a_fast_server_is_asked_more_often(asked: Ask) -> None:
    """Twenty times as fast; in turn, or by chance, both would be asked equally often."""
    slow = Options(model="tiny", ttft_ms=20, itl_ms=20)
    fast = Options(model="tiny", ttft_ms=1, itl_ms=1)

    async def scenario(urls: list[str]) -> None:
        generator = OpenAIGenerator(LlmSettings(urls=urls, model="tiny"), urls)
        left = list(range(80))

        async def ask_on() -> None:
            while left:
                left.pop()
                text([event async for event in generator.generate(asked())])

        await asyncio.gather(*(ask_on() for _ in range(8)))
        await generator.close()

    with fake_vllm(slow) as one, fake_vllm(fast) as other:
        asyncio.run(scenario([one.url, other.url]))
        finished = [fake.state()["finished"] for fake in (one, other)]
    assert sum(finished) == 80
    assert finished[1] > 2 * finished[0], finished
    assert finished[0] > 0


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


def test_a_drained_server_is_asked_nothing_new_and_ends_what_it_writes(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        leaving, staying = ScriptedLlm([llm.paused(gate, said("Yes, "), said("sir."))]), answering()
        async with opened_pool(leaving, staying) as it:
            pool = it.generator.pool
            writing = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: served(it, leaving)["outstanding_tokens"] == 63)
            drained = pool.drained(leaving.url, is_drained=True)
            for _ in range(5):
                await it.ask(asked())
            assert counts(leaving, staying) == [1, 5]
            assert (drained.streams, await drained.is_idle_within(0.01)) == (1, False)
            assert it.metric("quarry_llm_server_state", server=leaving.url) == 1
            assert it.generator.trouble is None
            gate.set()
            assert text(await writing) == "Yes, sir."
            assert await drained.is_idle_within(llm.PATIENCE_S)
            assert (drained.streams, drained.outstanding_tokens) == (0, 0)
            pool.drained(leaving.url, is_drained=False)
            await it.ask(asked())
            assert counts(leaving, staying) == [2, 5]

    asyncio.run(scenario())


def test_who_waits_goes_to_a_server_that_is_asked_again(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        busy, back = ScriptedLlm([llm.gated(gate, said("Yes."))]), answering()
        async with opened_pool(busy, back, max_streams=1) as it:
            it.generator.pool.drained(back.url, is_drained=True)
            writing = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: busy.asked)
            waiting = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: it.metric("quarry_llm_queue") == 1)
            it.generator.pool.drained(back.url, is_drained=False)
            assert text(await waiting) == "Yes."
            gate.set()
            await writing

    asyncio.run(scenario())


def test_with_all_drained_nothing_is_asked_and_nobody_waits(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        servers = [ScriptedLlm([llm.gated(gate, said("Yes."))]) for _ in range(2)]
        async with opened_pool(*servers, max_streams=1) as it:
            writing = [asyncio.create_task(it.ask(asked())) for _ in range(2)]
            await eventually(lambda: counts(*servers) == [1, 1])
            waiting = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: it.metric("quarry_llm_queue") == 1)
            for server in servers:
                it.generator.pool.drained(server.url, is_drained=True)
            with pytest.raises(LlmNotAskedError, match="none of 2 servers can be asked: 1: it is drained; 2: it is dr"):
                await waiting
            with pytest.raises(LlmNotAskedError):
                await it.ask(asked())
            assert it.generator.describe()["state"] == "1: drained; 2: drained"
            gate.set()
            for each in writing:
                assert text(await each) == "Yes."

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
        async with opened_pool(hostile, well, watched=True) as it:
            await eventually(lambda: served(it, hostile)["state"] == why)
            for _ in range(3):
                await it.ask(asked())
            assert counts(hostile, well) == [0, 3]
            assert it.generator.describe()["context"] == 4096
            hostile.models = right
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


def test_the_smallest_context_of_those_that_are_asked_counts(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        small, large = answering(), answering()
        small.models = llm.replying(200, {"data": [{"id": "tiny", "max_model_len": 1024}]})
        async with opened_pool(small, large, watched=True) as it:
            await eventually(lambda: (served(it, small)["context"], served(it, large)["context"]) == (1024, 4096))
            assert it.generator.describe()["context"] == 1024
            it.generator.pool.drained(small.url, is_drained=True)
            assert it.generator.describe()["context"] == 4096

    asyncio.run(scenario())


def test_places_are_of_each_server_and_the_queue_of_all(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        gates = asyncio.Event(), asyncio.Event()
        servers = [ScriptedLlm([llm.gated(gate, said("Yes.")), YES]) for gate in gates]
        async with opened_pool(*servers, max_streams=1, max_queued=2) as it:
            writing = [asyncio.create_task(it.ask(asked())) for _ in range(2)]
            await eventually(lambda: counts(*servers) == [1, 1])
            bulk = asyncio.create_task(it.ask(asked(priority=Priority.BULK)))
            await eventually(lambda: it.metric("quarry_llm_queue") == 1)
            usual = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: it.metric("quarry_llm_queue") == 2)
            with pytest.raises(LlmOverloadedError, match="2 answers are being written and 2 wait, the limit is 2"):
                await it.ask(asked(priority=Priority.BULK))
            gates[1].set()  # the second comes free first, and takes the more urgent first
            await usual
            await bulk
            assert counts(*servers) == [1, 3]
            gates[0].set()
            await asyncio.gather(*writing)
            assert (it.metric("quarry_llm_slots"), it.metric("quarry_llm_queue")) == (0, 0)

    asyncio.run(scenario())


def test_who_hangs_up_has_no_place_any_more(opened_pool: OpenPool, asked: Ask) -> None:
    async def scenario() -> None:
        servers = [ScriptedLlm([llm.silent]) for _ in range(2)]
        async with opened_pool(*servers, max_streams=1) as it:
            asking = [asyncio.create_task(it.ask(asked())) for _ in range(3)]
            await eventually(lambda: counts(*servers) == [1, 1])
            await eventually(lambda: it.metric("quarry_llm_queue") == 1)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            described = it.generator.describe()
            assert (described["streams"], described["queued"]) == (0, 0)
            assert [one["outstanding_tokens"] for one in described["servers"]] == [0, 0]

    asyncio.run(scenario())


def test_each_server_has_a_pace_of_its_own(opened_pool: OpenPool, asked: Ask) -> None:
    """A slow one is not taken for late by the pace of another; a question is planned by the one that it would get."""

    async def scenario() -> None:
        servers = answering(), answering()
        async with opened_pool(*servers) as it:
            for _ in range(5):
                await it.ask(asked())
            known = it.generator.expect()
            assert known is not None
            assert [one["expected"] is None for one in it.generator.describe()["servers"]] == [False, True]
            it.generator.pool.drained(servers[0].url, is_drained=True)
            assert it.generator.expect() is None

    asyncio.run(scenario())
