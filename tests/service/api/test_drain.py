"""A server that ends: who is still answered, who is refused, and what a cut answer looks like."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

import orjson
import pytest
from starlette.types import Receive, Scope, Send

from service.api.drain import Drain, DrainGate
from service.telemetry.metrics import Metrics
from service.telemetry.timings import Timings

PATIENCE_S = 200.0
FOR_EVER_S = 1000.0
Message = MutableMapping[str, Any]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


class Served:
    """An application behind the gate that begins its reply, then waits until it may go on."""

    def __init__(self, media_type: str | None) -> None:
        self.drain, self.metrics = Drain(), Metrics()
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self._media_type = media_type
        self._gate = DrainGate(self._answer, self.drain, self.metrics)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": []}
        if self._media_type:
            await send(start | {"headers": [(b"content-type", self._media_type.encode())]})
            await send({"type": "http.response.body", "body": b"first ", "more_body": True})
        self.begun.set()
        await self.go_on.wait()
        if not self._media_type:
            await send(start)
        await send({"type": "http.response.body", "body": b"last", "more_body": False})

    def asked(self, path: str = "/v1/query") -> "asyncio.Task[list[Message]]":
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def ask() -> list[Message]:
            scope: dict[str, Any] = {"type": "http", "method": "POST", "path": path, "headers": []}
            await self._gate(
                scope | {"state": {"request_id": "r", "timings": Timings()}, "query_string": b""}, receive, send
            )
            return sent

        return asyncio.create_task(ask())


def body_of(messages: list[Message]) -> bytes:
    return b"".join(message.get("body", b"") for message in messages)


async def turned(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110  nobody announces it
        await asyncio.sleep(0)


def test_an_answer_under_way_is_finished_and_nobody_new_is_taken_on() -> None:
    async def scenario() -> None:
        served = Served("text/event-stream")
        first = served.asked()
        await served.begun.wait()
        ending = asyncio.create_task(served.drain.run(FOR_EVER_S))
        await turned(lambda: served.drain.is_on)
        for path in ("/v1/query", "/readyz"):
            start, body = await served.asked(path)
            assert start["status"] == 503
            assert b"retry-after" in dict(start["headers"])
            assert orjson.loads(body["body"])["error"]["code"] == "overloaded"
        alive = served.asked("/healthz")
        assert not ending.done()
        served.go_on.set()
        assert body_of(await first) == b"first last"
        assert await ending == 0
        assert (await alive)[0]["status"] == 200

    run(scenario())


def test_without_answers_under_way_there_is_nothing_to_wait_for() -> None:
    async def scenario() -> None:
        assert await Served(None).drain.run(FOR_EVER_S) == 0

    run(scenario())


@pytest.mark.parametrize(
    ("media_type", "expected"), [("text/event-stream", b"event: error\n"), ("application/x-ndjson", b""), (None, b"{")]
)
@pytest.mark.parametrize("hurried", [False, True])
def test_an_answer_that_lasts_too_long_is_cut_as_what_it_is(
    media_type: str | None, expected: bytes, hurried: bool
) -> None:
    async def scenario() -> None:
        served = Served(media_type)
        asked = served.asked()
        await served.begun.wait()
        ending = asyncio.create_task(served.drain.run(FOR_EVER_S if hurried else 0.0))
        if hurried:
            served.drain.hurry()
        assert await ending == 1
        messages = await asked
        rest = body_of(messages).removeprefix(b"first ")
        assert rest.startswith(expected)
        assert bool(rest) == bool(expected)
        assert messages[0]["status"] == (503 if media_type is None else 200)
        assert messages[-1].get("more_body", False) == (media_type == "application/x-ndjson")

    run(scenario())


def test_a_task_that_somebody_else_cancels_is_cancelled() -> None:
    async def scenario() -> None:
        served = Served(None)
        asked: Awaitable[object] = (task := served.asked())
        await served.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await served.drain.run(FOR_EVER_S) == 0

    run(scenario())


def test_refusals_and_cuts_are_counted() -> None:
    async def scenario() -> None:
        served = Served(None)
        asked = served.asked()
        await served.begun.wait()
        draining = asyncio.create_task(served.drain.run(FOR_EVER_S))
        await asyncio.sleep(0)
        await served.asked()
        count = served.metrics.registry.get_sample_value
        assert count("quarry_problems_total", {"code": "overloaded"}) == 1
        served.drain.hurry()
        await draining
        await asked
        assert count("quarry_problems_total", {"code": "overloaded"}) == 2

    run(scenario())
