"""A server in trouble: who waits for it is told, what is configured wrongly is named, and the watch goes on."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

import scripted_llm as llm
from scripted_llm import ScriptedLlm, eventually
from service.errors import LlmNotAskedError
from service.generation.base import GenerationRequest
from service.generation.canary import Canary
from service.generation.llm_costs import LlmCosts
from service.generation.server_health import ServerHealth
from service.generation.supervision import Supervision

Ask = Callable[..., GenerationRequest]
Open = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.mark.parametrize("why", ["breaker", "supervision"])
def test_who_waits_for_a_slot_hears_at_once_that_the_server_is_in_trouble(opened: Open, asked: Ask, why: str) -> None:
    async def scenario() -> None:
        supervision = Supervision()
        server = ScriptedLlm([llm.silent])
        async with opened(server, max_streams=1, supervision=supervision) as it:
            writing = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: server.asked)
            waiting = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: it.metric("quarry_llm_queue") == 1)
            if why == "breaker":
                it.generator.pool.servers[0].server.health.breaker.open("gone")  # three failures would need more slots
            else:
                supervision.enter("down", "killed")
            with pytest.raises(LlmNotAskedError, match="gone" if why == "breaker" else "killed"):
                await waiting
            assert it.metric("quarry_llm_requests_total", outcome="not_asked") == 1
            assert it.metric("quarry_llm_slots") == 1
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    asyncio.run(scenario())


def test_a_key_that_the_server_does_not_take_is_known_before_anybody_asks(opened: Open) -> None:
    async def scenario() -> None:
        server = ScriptedLlm(models=llm.replying(401, {"error": "Unauthorized"}))
        async with opened(server, watched=True) as it:
            await eventually(lambda: it.generator.describe()["state"] != "ready")
            assert "replied 401; check the key in its settings" in it.generator.describe()["state"]

    asyncio.run(scenario())


def test_whatever_the_server_says_of_itself_the_canary_lives() -> None:
    async def scenario() -> None:
        asked = asyncio.Event()

        async def ask() -> None:
            asked.set()

        async def learn() -> bool:
            raise RecursionError("nobody foresaw this")

        wanted = asyncio.Event()
        canary = Canary(ServerHealth(Supervision(), LlmCosts(), wanted.set), wanted, ask, learn)
        await canary.start()
        await asyncio.wait_for(asked.wait(), llm.PATIENCE_S)
        await canary.close()

    asyncio.run(scenario())
