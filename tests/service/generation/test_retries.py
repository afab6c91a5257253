"""What is sent again, and how often at most."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

import scripted_llm as llm
from scripted_llm import ScriptedLlm, said, usage
from service.errors import GenerationError, LlmOverloadedError, LlmUnavailableError
from service.generation.base import Finished, GenerationRequest
from service.generation.openai import OpenAIGenerator
from service.generation.retry_budget import RetryBudget
from service.llm_settings import LlmSettings

Ask = Callable[..., GenerationRequest]
Open = Callable[..., AbstractAsyncContextManager[Any]]

BUSY = llm.error(503, "The engine is currently busy")
YES = llm.answering(said("Yes."), usage())


def test_a_full_queue_is_asked_again(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([BUSY, YES])
        async with opened(server) as it:
            assert isinstance((await it.ask(asked()))[-1], Finished)
            assert len(server.asked) == 2
            assert it.metric("quarry_llm_retries_total") == 1
            assert it.metric("quarry_llm_requests_total", outcome="ok") == 1

    asyncio.run(scenario())


def test_a_refused_connection_is_tried_again(asked: Ask, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:  # noqa: ANN401
    """The server comes up between the two tries."""

    async def scenario() -> None:
        server, path = ScriptedLlm([YES]), tmp_path / "llm.sock"
        url = f"unix://{path}"
        generator = OpenAIGenerator(LlmSettings(url=url, model="tiny"), [url])
        listening, sleep = server.listening(path), asyncio.sleep

        async def come_up(seconds: float) -> None:
            if not path.exists():
                await listening.__aenter__()
            await sleep(0)

        monkeypatch.setattr("service.generation.model_server.asyncio.sleep", come_up)
        events = [event async for event in generator.generate(asked())]
        assert isinstance(events[-1], Finished)
        await generator.close()
        await listening.__aexit__(None, None, None)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "fault",
    [
        llm.error(500, "died"),
        llm.error(429, "slow down"),
        llm.error(400, "wrong"),
        llm.torn,
        llm.torn_after(),
        llm.torn_after(said("Some")),
        llm.answering(said("Some"), llm.event({"error": {"message": "busy", "code": 503}})),
    ],
)
def test_what_may_have_been_begun_is_not(fault: llm.Behaviour, opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([fault, YES])
        async with opened(server) as it:
            with pytest.raises(GenerationError):
                await it.ask(asked())
            assert len(server.asked) == 1
            assert it.metric("quarry_llm_retries_total") == 0

    asyncio.run(scenario())


def test_never_beyond_the_deadline(opened: Open, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.generation.model_server.random.uniform", lambda low, high: 50.0)

    async def scenario() -> None:
        server = ScriptedLlm([BUSY, YES])
        async with opened(server) as it:
            with pytest.raises(LlmOverloadedError):
                await it.ask(asked(40_000))
            assert len(server.asked) == 1

    asyncio.run(scenario())


def test_retries_are_a_tenth_of_the_requests(opened: Open, asked: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many fail: the load on a full server grows by a tenth, not by a factor."""
    monkeypatch.setattr("service.generation.circuit_breaker._FAILURES", 10_000)
    monkeypatch.setattr("service.generation.model_server.random.uniform", lambda low, high: 0.0)

    async def scenario() -> None:
        server, requests = ScriptedLlm([BUSY]), 60
        async with opened(server) as it:
            for _ in range(requests):
                with pytest.raises(LlmUnavailableError):
                    await it.ask(asked())
            assert 1 <= len(server.asked) - requests <= 1 + requests // 10

    asyncio.run(scenario())


def test_the_budget_is_kept_for_a_few() -> None:
    budget = RetryBudget()
    assert (budget.withdraw(), budget.withdraw()) == (True, False)
    for _ in range(1000):
        budget.deposit()
    assert sum(budget.withdraw() for _ in range(100)) == 10
