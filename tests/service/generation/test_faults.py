"""Whatever a model server does, a request ends in time, with the right error, and leaves no slot behind."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import scripted_llm as llm
from scripted_llm import DONE, HEADERS, Connection, ScriptedLlm, said
from service.errors import (
    GenerationError,
    LlmBadResponseError,
    LlmConfigurationError,
    LlmOverloadedError,
    LlmRefusedError,
    LlmTimeoutError,
    LlmUnavailableError,
)
from service.generation.base import GenerationRequest

Ask = Callable[..., GenerationRequest]
Open = Callable[..., AbstractAsyncContextManager[Any]]

SHORT_MS, LONG_MS = 400, 60_000
LATE_S = 0.25
TICK_S = 0.005
LAGS = 10


@dataclass
class Lag:
    """The longest time by which the event loop was late while it was watched."""

    worst_s: float = 0.0


@asynccontextmanager
async def measured_lag() -> AsyncIterator[Lag]:
    lag = Lag()

    async def watch() -> None:
        while True:
            due = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            lag.worst_s = max(lag.worst_s, time.monotonic() - due)

    task = asyncio.create_task(watch())
    try:
        yield lag
    finally:
        task.cancel()


async def no_http(connection: Connection) -> None:
    await connection.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def empty(connection: Connection) -> None:
    await connection.send(HEADERS, b"0\r\n\r\n")


async def hung_up(connection: Connection) -> None:
    connection.writer.close()
    raise ConnectionResetError


FAULTS = {
    "stall before headers": (llm.silent, LlmTimeoutError),
    "stall after headers": (llm.silent_after(), LlmTimeoutError),
    "stall in mid-stream": (llm.silent_after(said("Some")), LlmTimeoutError),
    "drip of comments": (llm.dripping(b": still here\n\n"), LlmTimeoutError),
    "drip of words": (llm.dripping(said("x ")), LlmTimeoutError),
    "reset at once": (llm.torn, LlmUnavailableError),
    "hung up at once": (hung_up, LlmUnavailableError),
    "reset after headers": (llm.torn_after(), LlmUnavailableError),
    "reset in mid-stream": (llm.torn_after(said("Some")), LlmUnavailableError),
    "error then [DONE]": (llm.answering(said("Some"), llm.event({"error": {"message": "died"}})), LlmBadResponseError),
    "full queue": (llm.error(503, "The engine is currently busy"), LlmOverloadedError),
    "engine dead": (llm.error(500, "EngineCore encountered an issue"), LlmUnavailableError),
    "garbage in the stream": (llm.answering(b"data: {{{\n\n"), LlmBadResponseError),
    "garbage, not HTTP": (no_http, LlmUnavailableError),
    "wrong content type": (llm.replying(200, {"choices": []}), LlmBadResponseError),
    "a web page": (llm.replying(200, b"<html>", "content-type: text/html\r\n"), LlmBadResponseError),
    "endless line": (llm.flooding(b"data: " + b"x" * 60_000), LlmBadResponseError),
    "redirect": (llm.replying(307, b"", "location: /elsewhere\r\n"), LlmBadResponseError),
    "said to be compressed": (
        llm.replying(200, b"data: {}\n\n", "content-type: text/event-stream\r\ncontent-encoding: gzip\r\n"),
        LlmBadResponseError,
    ),
    "no body": (llm.replying(200, b"", "content-type: text/event-stream\r\n"), LlmBadResponseError),
    "an empty stream": (empty, LlmBadResponseError),
    "nothing but [DONE]": (llm.answering(), LlmBadResponseError),
    "nothing was finished": (llm.ending(said("Some")), LlmBadResponseError),
    "unknown model": (llm.error(404, "The model `tiny` does not exist."), LlmConfigurationError),
    "no key": (llm.replying(401, {"error": "Unauthorized"}), LlmConfigurationError),
    "not for this key": (llm.replying(403, {"error": "Forbidden"}), LlmConfigurationError),
    "wrong": (llm.error(400, "temperature is 9"), LlmRefusedError),
}


@pytest.mark.parametrize(("fault", "kind"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("streams", [1, 3])
def test_a_fault_ends_in_time(
    fault: llm.Behaviour, kind: type[GenerationError], streams: int, opened: Open, asked: Ask
) -> None:
    """Three requests share one slot, so that one which kept it would starve the next.

    Only what lasts until the deadline gets a short one: on a busy machine it would hide the other faults.
    """
    deadline_ms = SHORT_MS if kind is LlmTimeoutError else LONG_MS

    async def one(it: Any) -> tuple[BaseException, float]:  # noqa: ANN401
        request = asked(deadline_ms)
        with pytest.raises(GenerationError) as raised:
            await it.ask(request)
        return raised.value, time.monotonic() - request.call.deadline.at

    async def scenario() -> None:
        server = ScriptedLlm([fault])
        async with opened(server, max_streams=1) as it, measured_lag() as lag:
            ends = await asyncio.gather(*(one(it) for _ in range(streams)))
            assert max(late for _, late in ends) <= LATE_S + LAGS * lag.worst_s
            assert type(ends[0][0]) is kind
            assert it.metric("quarry_llm_slots") == it.metric("quarry_llm_queue") == 0
            described = it.generator.describe()
            assert (described["streams"], described["queued"]) == (0, 0)
            assert described["state"] != "ready"

    asyncio.run(scenario())


def test_an_answer_after_a_fault(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        server = ScriptedLlm([llm.torn_after(said("Some")), llm.answering(said("Yes."))])
        async with opened(server, max_streams=1) as it:
            with pytest.raises(LlmUnavailableError):
                await it.ask(asked())
            assert it.generator.describe()["state"] != "ready"
            await it.ask(asked())
            assert it.generator.describe()["state"] == "ready"

    asyncio.run(scenario())


def test_nothing_but_done_is_no_success(opened: Open, asked: Ask) -> None:
    async def scenario() -> None:
        stream = llm.answering(said("Some"), llm.event({"error": {"message": "engine died"}}), DONE)
        async with opened(ScriptedLlm([stream])) as it:
            seen = []
            with pytest.raises(LlmBadResponseError, match="engine died"):
                async for event in it.generator.generate(asked()):
                    seen.append(event.text)
            assert seen == ["Some"]
            assert it.metric("quarry_llm_requests_total", outcome="bad_response") == 1
            assert it.metric("quarry_llm_requests_total", outcome="ok") == 0

    asyncio.run(scenario())


def test_a_stream_must_say_that_it_is_one(opened: Open, asked: Ask) -> None:
    """A proxy's page may hold anything, also lines that look like events."""

    async def scenario() -> None:
        page = llm.replying(200, said("Buy now.") + DONE, "content-type: text/html\r\n")
        async with opened(ScriptedLlm([page])) as it:
            with pytest.raises(LlmBadResponseError, match="is 'text/html', not text/event-stream"):
                await it.ask(asked())

    asyncio.run(scenario())
