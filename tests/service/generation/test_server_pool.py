"""Several servers of one model: which of them is asked, and how one is taken out of use and back."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

import scripted_llm as llm
from llm_pool import YES, answering, counts, served, text
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import fake_vllm
from scripted_llm import ScriptedLlm, eventually, said
from service.errors import (
    LlmNotAskedError,
    LlmOverloadedError,
)
from service.generation.base import GenerationRequest, Priority
from service.generation.openai import OpenAIGenerator
from service.llm_settings import LlmSettings

Ask = Callable[..., GenerationRequest]
OpenPool = Callable[..., AbstractAsyncContextManager[Any]]

BUSY = llm.error(503, "The engine is currently busy")
LONG = "word " * 300


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


def test_who_waits_goes_to_a_server_that_is_well_again(opened_pool: OpenPool, asked: Ask, in_a_hurry: None) -> None:
    async def scenario() -> None:
        gate, back = asyncio.Event(), asyncio.Event()
        one_token = answering().canary

        async def canary(connection: llm.Connection) -> None:
            await back.wait()
            await one_token(connection)

        busy, down = ScriptedLlm([llm.gated(gate, said("Yes."))]), ScriptedLlm([YES], canary=canary)
        async with opened_pool(busy, down, watched=True, max_streams=1) as it:
            it.generator.pool.servers[1].server.health.breaker.open("gone")
            writing = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: busy.asked)
            waiting = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: it.metric("quarry_llm_queue") == 1)
            back.set()
            assert text(await waiting) == "Yes."
            assert counts(busy, down) == [1, 1]
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
