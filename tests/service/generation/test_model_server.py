"""What is learned from answers: usage, the server's timings, costs and metrics; and who goes first."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

import scripted_llm as llm
from scripted_llm import ScriptedLlm, eventually, said, usage
from service.budget import Deadline
from service.errors import LlmOverloadedError, LlmTimeoutError
from service.generation.base import Delta, Finished, GenerationRequest, Heard, LlmCall, Priority, Turn
from service.generation.prompt import NO_ANSWER
from service.generation.supervision import Supervision
from service.telemetry.llm import LlmMetrics

Ask = Callable[..., GenerationRequest]
Open = Callable[..., AbstractAsyncContextManager[Any]]

YES = llm.answering(said("Yes."), usage())


def test_usage_and_the_servers_own_timings(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        counts = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
        last = {
            "choices": [],
            "usage": counts | {"prompt_tokens_details": {"cached_tokens": 64}},
            "metrics": {
                "time_to_first_token_ms": 12.5,
                "generation_time_ms": 40.0,
                "queue_time_ms": 0,
                "mean_itl_ms": None,
                "tokens_per_second": 38.0,
            },
        }
        server = ScriptedLlm([llm.answering(said("Yes"), said("."), llm.event(last))])
        async with opened(server) as it:
            finished = (await it.ask(asked()))[-1]
            assert isinstance(finished, Finished)
            assert finished.usage == counts | {"cached_tokens": 64}
            assert finished.timings == {"first_token": 12.5, "generation": 40.0, "queue": 0.0}

    asyncio.run(scenario())


@pytest.mark.parametrize("metrics", [None, 5, [], {"queue_time_ms": "soon"}])
def test_timings_that_are_none(metrics: object, opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        async with opened(
            ScriptedLlm([llm.answering(said("Yes"), llm.event({"choices": [], "metrics": metrics}))])
        ) as it:
            assert (await it.ask(asked()))[-1] == Finished("stop")

    asyncio.run(scenario())


def test_the_request_is_known_by_its_id(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([YES])
        async with opened(server) as it:
            await it.ask(asked(request_id="abc-1"))
            await it.ask(asked())
            assert [request.headers.get("x-request-id") for request in server.asked] == ["abc-1", None]

    asyncio.run(scenario())


def test_costs_come_from_answers(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        stream = llm.answering(said("One"), said(" two"), usage(prompt=1000, completion=2))
        async with opened(ScriptedLlm([stream])) as it:
            for _ in range(5):
                assert it.generator.expect() is None
                await it.ask(asked())
            expected = it.generator.expect()
            assert expected is not None
            assert expected.first_token_s > 0
            assert it.generator.describe()["expected"]["token_s"] == expected.token_s

    asyncio.run(scenario())


def test_answers_that_are_late_tell_what_they_cost_too(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        async with opened(ScriptedLlm([llm.silent_after(said("One"), said(" two"))])) as it:
            for _ in range(5):
                assert it.generator.expect() is None
                with pytest.raises(LlmTimeoutError):
                    await it.ask(asked(milliseconds=600))
            assert it.generator.expect() is not None

    asyncio.run(scenario())


def test_answers_are_counted_and_timed(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        async with opened(ScriptedLlm([llm.answering(*map(said, "abcd"), usage())])) as it:
            await it.ask(asked())
            assert it.metric("quarry_llm_requests_total", outcome="ok") == 1
            assert it.metric("quarry_llm_ttft_seconds_count") == 1
            assert it.metric("quarry_llm_itl_seconds_count") == 3
            assert it.metric("quarry_llm_queue_seconds_count") == 1
            assert it.registry.get_sample_value("quarry_llm_breaker_state", {"llm": "main"}) == 0

    asyncio.run(scenario())


def test_the_gauges_follow_the_queue(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        server = ScriptedLlm([llm.gated(gate, said("Yes."))])
        async with opened(server, max_streams=2, max_queued=1) as it:
            asking = [asyncio.create_task(it.ask(asked())) for _ in range(3)]
            await eventually(lambda: len(server.asked) == 2)
            assert (it.metric("quarry_llm_slots"), it.metric("quarry_llm_queue")) == (2, 1)
            with pytest.raises(LlmOverloadedError):
                await it.ask(asked())
            gate.set()
            await asyncio.gather(*asking)
            assert (it.metric("quarry_llm_slots"), it.metric("quarry_llm_queue")) == (0, 0)
            assert it.metric("quarry_llm_requests_total", outcome="overloaded") == 1
            assert it.generator.trouble is None

    asyncio.run(scenario())


def test_a_deadline_in_the_queue_is_not_the_servers_fault(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([llm.silent])
        async with opened(server, max_streams=1) as it:
            holder = asyncio.create_task(it.ask(asked()))
            await eventually(lambda: server.asked)
            for _ in range(5):
                with pytest.raises(LlmTimeoutError, match="before one of 1 answers was finished"):
                    await it.ask(asked(20))
            assert it.generator.trouble is None
            assert len(server.asked) == 1
            holder.cancel()
            await asyncio.gather(holder, return_exceptions=True)

    asyncio.run(scenario())


def test_a_rewrite_goes_first(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        gate = asyncio.Event()
        server = ScriptedLlm([llm.gated(gate, said("Which keys rotate?"))])
        async with opened(server, max_streams=1, server="vllm", priorities=True) as it:
            asking = [asyncio.create_task(it.ask(asked())) for _ in range(2)]
            await eventually(lambda: server.asked and it.metric("quarry_llm_queue") == 1)
            turns = [Turn("user", "Do keys rotate?"), Turn("assistant", "Some.")]
            rewriting = asyncio.create_task(it.generator.standalone("Which?", turns, LlmCall(Deadline.after(60_000))))
            await eventually(lambda: it.metric("quarry_llm_queue") == 2)
            gate.set()
            assert await rewriting == "Which keys rotate?"
            await asyncio.gather(*asking)
            assert [request.body["priority"] for request in server.asked] == [0, Priority.REWRITE, 0]
            messages = str(server.asked[1].body["messages"])
            assert "Do keys rotate?" in messages
            assert "Which?" in messages

    asyncio.run(scenario())


def test_a_question_with_nothing_before_it_is_not_rewritten(opened: Open) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([YES])
        async with opened(server) as it:
            assert await it.generator.standalone("Why?", [], LlmCall(Deadline.after(60_000))) == "Why?"
            assert server.asked == []

    asyncio.run(scenario())


def test_edges_are_those_of_vllm() -> None:
    """Of vllm/v1/metrics/buckets.py: panels compare bucket by bucket."""
    registry = CollectorRegistry()
    LlmMetrics(registry).of("main").ttft.observe(1)
    edges = [
        sample.labels["le"]
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "quarry_llm_ttft_seconds_bucket"
    ]
    assert len(edges) == 23
    assert edges[:4] == ["0.001", "0.005", "0.01", "0.02"]
    assert edges[-3:] == ["640.0", "2560.0", "+Inf"]


def test_a_refusal_is_not_read_to_its_end(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([llm.silent_after(said(f"{NO_ANSWER} They speak of"))])
        async with opened(server) as it:
            (*_, finished) = await it.ask(asked())
            assert (finished.abstained, finished.reason) == (True, "stop")
            await eventually(lambda: server.gone == 1)
            assert it.metric("quarry_llm_requests_total", outcome="ok") == 1
            assert it.generator.describe()["state"] == "ready"

    asyncio.run(scenario())


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_thoughts_are_a_sign_of_life_and_no_text(opened: Open, asked: Ask, name: str) -> None:
    async def scenario() -> None:
        supervision, signs = Supervision(), []
        supervision.on_token = lambda: signs.append(1)
        thought = llm.event({"choices": [{"index": 0, "delta": {name: "Let me see."}, "finish_reason": None}]})
        async with opened(ScriptedLlm([llm.answering(thought, thought, said("Yes."))]), supervision=supervision) as it:
            events = await it.ask(asked())
            assert events[:3] == [Heard(), Heard(), Delta("Yes.")]
            assert len(signs) == 3
            assert it.metric("quarry_llm_signs_total") == 3
            assert it.metric("quarry_llm_ttft_seconds_count") == 1

    asyncio.run(scenario())
