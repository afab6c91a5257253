"""When a model server is no longer asked, and how it comes back."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

import scripted_llm as llm
from scripted_llm import ScriptedLlm, eventually, said, usage
from service.budget import Deadline
from service.errors import GenerationError, LlmRefusedError, LlmTimeoutError, LlmUnavailableError
from service.generation.base import Delta, Finished, GenerationRequest
from service.generation.circuit_breaker import BreakerState, CircuitBreaker
from service.generation.llm_costs import LlmCosts
from service.generation.patience import Patience
from service.generation.server_health import ServerHealth
from service.generation.supervision import Supervision

Ask = Callable[..., GenerationRequest]
Open = Callable[..., AbstractAsyncContextManager[Any]]

DEAD = llm.error(500, "EngineCore encountered an issue")
YES = llm.answering(said("Yes."), usage())


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of a server in production would be those of the tests."""
    monkeypatch.setattr("service.generation.canary._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("service.generation.canary._LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr("service.generation.canary._REST_S", 0.01)


async def fail(it: Any, request: GenerationRequest) -> None:  # noqa: ANN401
    with pytest.raises(GenerationError):
        await it.ask(request)


def test_failures_in_a_row_open_it() -> None:
    opened = []
    breaker = CircuitBreaker(lambda: opened.append(1))
    for outcome in "ffsff":
        breaker.failed("died") if outcome == "f" else breaker.succeeded()
    assert (breaker.state, opened) == (BreakerState.CLOSED, [])
    breaker.failed("died again")
    assert (breaker.state, breaker.cause, opened) == (BreakerState.OPEN, "died again", [1])


def test_only_the_canary_closes_it() -> None:
    breaker = CircuitBreaker(lambda: None)
    breaker.open("died")
    breaker.succeeded()
    assert breaker.state is BreakerState.OPEN
    breaker.try_out()
    breaker.succeeded()
    assert breaker.state is BreakerState.HALF_OPEN
    breaker.open("canary died")
    assert breaker.state is BreakerState.OPEN
    breaker.close()
    assert (breaker.state, breaker.cause) == (BreakerState.CLOSED, None)
    breaker.failed("once")
    assert breaker.state is BreakerState.CLOSED


def test_a_server_that_fails_is_left_alone_until_a_canary_is_answered(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([DEAD, DEAD, DEAD, YES], canary=DEAD)
        async with opened(server, watched=True) as it:
            assert it.generator.trouble is None
            for _ in range(3):
                await fail(it, asked())
            assert "replied 500" in it.generator.trouble
            assert "EngineCore" not in it.generator.trouble, "what it says may be of somebody's prompt"
            await eventually(lambda: server.canaries >= 3)
            for _ in range(5):
                with pytest.raises(LlmUnavailableError, match=r"was not asked: .*failed repeatedly"):
                    await it.ask(asked())
            assert len(server.asked) == 3  # no user's request tried it out
            assert it.metric("quarry_llm_requests_total", outcome="not_asked") == 5
            assert it.metric("quarry_llm_breaker_state") > 0
            assert it.generator.describe()["state"] == it.generator.trouble
            server.canary = ScriptedLlm.canary
            await eventually(lambda: it.generator.trouble is None)
            assert it.breaker == "closed"
            assert it.generator.describe()["state"] == "ready"
            assert isinstance((await it.ask(asked()))[-1], Finished)
            assert it.metric("quarry_llm_canaries_total", outcome="ok") == 1

    asyncio.run(scenario())


def test_refusals_do_not_count(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([llm.error(404, "The model `tiny` does not exist.")])
        async with opened(server, watched=True) as it:
            for _ in range(10):
                with pytest.raises(LlmRefusedError):
                    await it.ask(asked())
            assert it.generator.trouble is None
            assert server.canaries == 0

    asyncio.run(scenario())


def test_short_deadlines_do_not_count_but_a_canary_looks(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([llm.silent])
        async with opened(server, watched=True) as it:
            for _ in range(6):
                with pytest.raises(LlmTimeoutError):
                    await it.ask(asked(30))
            await eventually(lambda: server.canaries)
            assert it.generator.trouble is None

    asyncio.run(scenario())


def test_a_frozen_server_is_found_out_by_short_deadlines_too(
    opened: Open, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.generation.model_server._CANARY_MS", 50)

    async def scenario() -> None:
        server = ScriptedLlm([llm.silent], canary=llm.silent)
        async with opened(server, watched=True) as it:
            with pytest.raises(LlmTimeoutError):
                await it.ask(asked(30))
            await eventually(lambda: it.generator.trouble)
            assert "canary: no" in it.generator.trouble

    asyncio.run(scenario())


def test_late_first_texts_count(opened: Open, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.generation.server_health._LATE_UNKNOWN_S", 0.02)

    async def scenario() -> None:
        async with opened(ScriptedLlm([llm.silent])) as it:
            for _ in range(3):
                assert it.generator.trouble is None
                await fail(it, asked(400))
            assert "no text within" in it.generator.trouble

    asyncio.run(scenario())


def test_late_first_texts_of_a_busy_server_do_not_count(
    opened: Open, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else's words come all the time: the server is full, and opening the breaker would empty it."""
    monkeypatch.setattr("service.generation.server_health._LATE_UNKNOWN_S", 0.02)
    monkeypatch.setattr("service.generation.model_server._CANARY_MS", 400)

    async def scenario() -> None:
        server = ScriptedLlm([llm.steady(said("x ")), llm.silent], canary=llm.silent)
        async with opened(server, watched=True) as it:
            others = it.generator.generate(asked())
            assert isinstance(await anext(others), Delta)

            async def listen() -> None:
                async for _ in others:
                    pass

            listening = asyncio.create_task(listen())
            for _ in range(6):
                await fail(it, asked(400))
            await eventually(lambda: server.canaries)
            assert it.generator.trouble is None
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    asyncio.run(scenario())


def test_a_full_queue_of_a_busy_server_does_not_count(
    opened: Open, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told before the next word of another's answer can come."""
    monkeypatch.setattr("service.generation.server_health._BUSY_S", llm.PATIENCE_S)

    async def scenario() -> None:
        gate, full = asyncio.Event(), llm.error(503, "the queue is full")
        server = ScriptedLlm([llm.paused(gate, said("One "), said("two."), usage()), full], canary=full)
        async with opened(server, watched=True) as it:
            others = it.generator.generate(asked())
            assert isinstance(await anext(others), Delta)
            for _ in range(4):
                await fail(it, asked())
            assert it.generator.trouble is None
            gate.set()
            assert isinstance([event async for event in others][-1], Finished)

    asyncio.run(scenario())


def test_a_full_queue_while_nobody_gets_text_counts(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        full = llm.error(503, "the queue is full")
        async with opened(ScriptedLlm([full], canary=full), watched=True) as it:
            for _ in range(3):
                await fail(it, asked())
            assert "replied 503" in it.generator.trouble

    asyncio.run(scenario())


def test_a_server_that_is_not_there_at_the_start(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([YES], canary=llm.torn, models=llm.torn)
        async with opened(server, watched=True, context=8192) as it:
            await eventually(lambda: it.generator.trouble)
            assert it.generator.describe()["context"] == 8192
            server.models, server.canary = ScriptedLlm.models, ScriptedLlm.canary
            await eventually(lambda: it.generator.trouble is None)
            await eventually(lambda: it.generator.describe()["context"] == 4096)
            await it.ask(asked())

    asyncio.run(scenario())


def test_what_a_managed_server_says_of_itself_is_read_once_it_is_ready(opened: Open) -> None:
    """It is never there at the start, and no breaker has to open before it is."""

    async def scenario() -> None:
        supervision, server = Supervision(), ScriptedLlm(models=llm.torn)
        supervision.enter("starting")
        async with opened(server, watched=True, supervision=supervision, context=8192) as it:
            await eventually(lambda: server.of("/v1/models"))
            server.models = ScriptedLlm.models
            supervision.enter("ready")
            await eventually(lambda: it.generator.describe()["context"] == 4096)
            assert it.metric("quarry_llm_canaries_total", outcome="failed") == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("phase", ["starting", "frozen", "down"])
def test_whoever_runs_the_server_is_believed(phase: str, opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        supervision, server = Supervision(), ScriptedLlm([YES])
        async with opened(server, watched=True, supervision=supervision) as it:
            supervision.enter(phase, "exit code 1")
            assert it.generator.trouble == f"the language model's server is {phase}: exit code 1"
            with pytest.raises(LlmUnavailableError, match=phase):
                await it.ask(asked())
            assert server.asked == []
            assert it.generator.describe()["phase"] == phase
            supervision.enter("ready")
            await it.ask(asked())

    asyncio.run(scenario())


def test_trouble_refuses_before_the_queue_and_behind_it(opened: Open, asked: Ask) -> None:
    """Nobody waits for a slot of a server in trouble, and nobody who did is sent there."""

    async def scenario() -> None:
        supervision, gate = Supervision(), asyncio.Event()
        server = ScriptedLlm([llm.gated(gate, said("Yes."))])
        async with opened(server, supervision=supervision, max_streams=1) as it:
            holder = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: server.asked)
            waiter = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: it.metric("quarry_llm_queue") == 1)
            supervision.enter("down")
            with pytest.raises(LlmUnavailableError, match="was not asked"):
                await it.ask(asked())
            assert not holder.done()
            gate.set()
            await holder
            with pytest.raises(LlmUnavailableError, match="was not asked"):
                await waiter
            assert len(server.asked) == 1
            assert it.metric("quarry_llm_slots") == 0

    asyncio.run(scenario())


def test_who_goes_away_after_a_long_silence_leaves_a_suspicion(
    opened: Open, asked: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.generation.server_health._LATE_UNKNOWN_S", 0.0)

    async def scenario() -> None:
        server = ScriptedLlm([llm.silent])
        async with opened(server, watched=True) as it:
            asking = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: server.asked)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await eventually(lambda: server.canaries)
            assert it.generator.trouble is None

    asyncio.run(scenario())


def test_no_canary_while_another_asks_the_server(opened: Open, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = []

    def counted() -> Iterator[float]:
        while True:
            pauses.append(0.001)
            yield 0.001

    monkeypatch.setattr("service.generation.canary._pauses", counted)

    async def scenario() -> None:
        supervision, server = Supervision(), ScriptedLlm([DEAD])
        async with opened(server, watched=True, supervision=supervision) as it:
            for _ in range(3):
                await fail(it, asked())
            supervision.enter("starting")
            before = server.canaries
            await eventually(lambda: len(pauses) > 5)
            assert server.canaries == before == 0
            supervision.enter("ready")
            await eventually(lambda: it.generator.trouble is None)
            assert server.canaries == 1

    asyncio.run(scenario())


def test_tokens_are_reported_to_whoever_runs_the_server(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        supervision, tokens = Supervision(), []
        supervision.on_token = lambda: tokens.append(1)
        stream = llm.answering(said("One"), said(" two"), said(""), usage())
        async with opened(ScriptedLlm([stream]), supervision=supervision) as it:
            await it.ask(asked())
            assert len(tokens) == 2

    asyncio.run(scenario())


def test_closing_ends_the_watch(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([DEAD], canary=llm.silent)
        async with opened(server, watched=True) as it:
            for _ in range(3):
                await fail(it, asked())
            await eventually(lambda: server.canaries)
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "quarry-canary"]

    asyncio.run(asyncio.wait_for(scenario(), llm.PATIENCE_S))


def test_what_failed_before_the_server_was_seen_well_is_over() -> None:
    supervision = Supervision()
    health = ServerHealth(supervision, LlmCosts(), lambda: None)
    health.failed(LlmUnavailableError("refused"), Patience(Deadline.after(60_000)))
    assert health.state == "refused"
    supervision.enter("down", "killed")
    assert "down: killed" in health.state
    supervision.enter("ready")
    assert health.state == "ready"
