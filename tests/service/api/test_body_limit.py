"""The limit on bodies, with and without a Content-Length."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from service.api.body_limit import BodyBounds, BodyLimit

LIMIT = 2048
PATIENCE_S = 200.0
PATH = "/v1/collections/docs/documents/a"
JSON = {"content-type": "application/json"}


@pytest.fixture
def small(open_api: Callable[..., AbstractContextManager[httpx.Client]]) -> Iterator[httpx.Client]:
    with open_api(server={"max_body_bytes": LIMIT}) as client:
        yield client


def body(size: int) -> bytes:
    return b'{"text": "%s"}' % (b"x" * (size - 12))


def chunked(content: bytes) -> Iterator[bytes]:
    yield content


@pytest.mark.parametrize("sent", [bytes, chunked])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", PATH),
        ("POST", "/v1/search"),
        ("POST", "/v1/query"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/rerank"),
        ("POST", "/v1/collections/docs/documents:batch"),
    ],
)
def test_one_byte_too_many(
    small: httpx.Client,
    problem: Callable[[httpx.Response, int, str], dict[str, Any]],
    sent: Callable[[bytes], Any],
    method: str,
    path: str,
) -> None:
    response = small.request(method, path, content=sent(body(LIMIT + 1)), headers=JSON)
    detail = problem(response, 413, "payload_too_large")["detail"]
    assert detail == f"the body is larger than the limit of {LIMIT} bytes (server.max_body_bytes)"
    assert small.get("/v1/collections").json()["data"] == []


def test_a_form_over_the_limit(
    small: httpx.Client, problem: Callable[[httpx.Response, int, str], dict[str, Any]]
) -> None:
    problem(small.put(PATH, files={"file": ("a.txt", b"x" * LIMIT)}), 413, "payload_too_large")


@pytest.mark.parametrize("sent", [bytes, chunked])
def test_the_limit_itself_is_allowed(small: httpx.Client, sent: Callable[[bytes], Any]) -> None:
    assert small.put(PATH, content=sent(body(LIMIT)), headers=JSON).status_code == 201


async def _until_the_end(_: Scope, receive: Receive, __: Send) -> None:
    while (await receive()).get("more_body"):
        pass


def test_no_byte_is_read_of_a_body_that_announces_too_much() -> None:
    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def scenario() -> None:
        scope = {"type": "http", "headers": [(b"content-length", b"11")]}
        with pytest.raises(HTTPException) as raised:
            await BodyLimit(_until_the_end, BodyBounds(10, PATIENCE_S))(scope, receive, _sends_nothing)
        assert raised.value.status_code == 413

    asyncio.run(scenario())


def test_reading_stops_with_the_chunk_that_goes_over() -> None:
    read: list[int] = []

    async def receive() -> Message:
        read.append(4)
        return {"type": "http.request", "body": b"abcd", "more_body": True}

    async def scenario() -> None:
        with pytest.raises(HTTPException):
            await BodyLimit(_until_the_end, BodyBounds(10, PATIENCE_S))(
                {"type": "http", "headers": []}, receive, _sends_nothing
            )

    asyncio.run(scenario())
    assert sum(read) == 12


def _late(messages: Iterator[Message], stall_s: float) -> HTTPException:
    """What reading a body of these messages, of which there is none after the last, ends in."""

    async def receive() -> Message:
        message = next(messages, None)
        if message is None:
            await asyncio.Event().wait()
        assert message is not None
        return message

    async def scenario() -> HTTPException:
        with pytest.raises(HTTPException) as raised:
            await BodyLimit(_until_the_end, BodyBounds(10**9, stall_s))(
                {"type": "http", "headers": []}, receive, _sends_nothing
            )
        return raised.value

    return asyncio.run(scenario())


def test_a_body_that_stalls_is_late() -> None:
    late = _late(iter([{"type": "http.request", "body": b"abcd", "more_body": True}]), 0.05)
    assert late.status_code == 408
    assert late.detail.startswith("4 bytes of the body have come; the limit is 0.05 s")


def test_a_body_that_drips_is_late_though_it_never_stalls(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def drip() -> Iterator[Message]:
        while True:
            clock[0] += 29  # as the loop's clock has it, the byte came after that long
            yield {"type": "http.request", "body": b"a", "more_body": True}

    monkeypatch.setattr("service.api.body_limit._now", lambda: clock[0])
    late = _late(drip(), 30)
    assert late.status_code == 408
    assert clock[0] == pytest.approx(58)


def test_what_the_reader_takes_for_itself_is_not_held_against_the_client() -> None:
    sent: list[Message] = [{"type": "http.request", "body": b"a", "more_body": i < 9} for i in range(10)]

    async def receive() -> Message:
        return sent.pop(0)

    async def reads_slowly(_: Scope, receive: Receive, __: Send) -> None:
        for _ in range(10):
            await receive()
            await asyncio.sleep(0.05)  # what it does with what it has read

    async def scenario() -> None:
        bounds = BodyBounds(10**9, 0.1)
        await BodyLimit(reads_slowly, bounds)({"type": "http", "headers": []}, receive, _sends_nothing)

    asyncio.run(scenario())
    assert not sent


def test_whoever_waits_for_a_hang_up_waits_as_long_as_it_takes() -> None:
    async def answers(_: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["more_body"] is False
        assert (await receive())["type"] == "http.disconnect"

    async def receive() -> Message:
        if not asked:
            asked.append(1)
            return {"type": "http.request", "body": b"", "more_body": False}
        await asyncio.sleep(0.1)
        return {"type": "http.disconnect"}

    asked: list[int] = []

    asyncio.run(BodyLimit(answers, BodyBounds(10, 0.01))({"type": "http", "headers": []}, receive, _sends_nothing))


async def _sends_nothing(_: Message) -> None:
    raise AssertionError("nothing is sent")
