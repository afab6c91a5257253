"""Server-sent events: frames, heartbeat, and an end in order."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import orjson
import pytest
from starlette.types import Message

from service.api.sse import EventStream, event
from service.budget import Deadline
from service.errors import DeadlineExceededError

PATIENCE_S = 200.0
LATER = Deadline.after(86_400_000)  # the module is imported long before the last test runs


async def frames(*given: bytes) -> AsyncGenerator[bytes, None]:
    for frame in given:
        yield frame


async def body(stream: EventStream) -> list[bytes]:
    return [bytes(part) async for part in stream.body_iterator]


def test_a_frame_is_one_line_of_json() -> None:
    frame = event("token", {"text": "a\nb\r\n🎉 \u2028"})
    name, data, *rest = frame.split(b"\n")
    assert name == b"event: token"
    assert rest == [b"", b""]
    assert orjson.loads(data.removeprefix(b"data: ")) == {"text": "a\nb\r\n🎉 \u2028"}
    assert b"\r" not in frame


def test_frames_come_in_order_to_the_end() -> None:
    given = [event("token", {"n": number}) for number in range(200)]
    assert asyncio.run(body(EventStream(frames(*given), LATER))) == given


def test_the_first_frame_of_a_burst_does_not_wait_for_the_last() -> None:
    made: list[int] = []

    async def burst() -> AsyncGenerator[bytes, None]:
        for number in range(50):
            made.append(number)
            yield b"frame"

    async def scenario() -> None:
        parts: AsyncIterator[Any] = aiter(EventStream(burst(), LATER).body_iterator)
        assert await anext(parts) == b"frame"
        assert len(made) < 5
        assert len([part async for part in parts]) == 49

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_the_opening_is_made_while_the_source_waits() -> None:
    made: list[str] = []

    async def source() -> AsyncGenerator[bytes, None]:
        made.append("source begun")
        yield b"first"
        yield b"second"

    def opening() -> bytes:
        made.append("opening")
        return b"opening"

    stream = EventStream(source(), LATER, opening=opening)
    assert asyncio.run(body(stream)) == [b"opening", b"first", b"second"]
    assert made == ["source begun", "opening"]


def test_the_headers_a_proxy_needs() -> None:
    headers = EventStream(frames(), LATER, {"Server-Timing": "embed;dur=1"}).headers
    assert headers["content-type"].startswith("text/event-stream")
    assert headers["x-accel-buffering"] == "no"
    assert headers["cache-control"] == "no-store"
    assert headers["server-timing"] == "embed;dur=1"


def test_a_quiet_stream_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.sse._HEARTBEAT_S", 0.005)

    async def scenario() -> None:
        go_on = asyncio.Event()

        async def quiet() -> AsyncGenerator[bytes, None]:
            yield b"first"
            await go_on.wait()
            yield b"last"

        parts: AsyncIterator[Any] = aiter(EventStream(quiet(), LATER).body_iterator)
        assert await anext(parts) == b"first"
        assert [await anext(parts) for _ in range(3)] == [b": still here\n\n"] * 3
        go_on.set()
        while (part := await anext(parts)) != b"last":
            assert part == b": still here\n\n"
        with pytest.raises(StopAsyncIteration):
            await anext(parts)

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_a_client_that_hangs_up_ends_the_work() -> None:
    ended: list[str] = []

    async def scenario() -> None:
        streaming = asyncio.Event()

        async def source() -> AsyncGenerator[bytes, None]:
            try:
                yield b"first"
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            finally:
                for _ in range(5):  # as connections are closed: not at once
                    await asyncio.sleep(0)
                ended.append("closed")

        async def receive() -> Message:
            await streaming.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message.get("body"):
                streaming.set()

        await EventStream(source(), LATER)({"type": "http", "asgi": {"spec_version": "2.3"}}, receive, send)
        assert ended == ["cancelled", "closed"]  # here, as the loop's own end would cancel what was left

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_a_source_that_fails_ends_the_stream_with_its_error() -> None:
    async def failing() -> AsyncGenerator[bytes, None]:
        yield b"first"
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        asyncio.run(asyncio.wait_for(body(EventStream(failing(), LATER)), PATIENCE_S))


def test_a_slow_client_slows_the_source() -> None:
    """Memory is bounded: the source is not read to its end while nobody takes its frames."""
    made: list[int] = []

    async def eager() -> AsyncGenerator[bytes, None]:
        for number in range(1_000):
            made.append(number)
            yield b"x"

    async def scenario() -> None:
        parts: AsyncIterator[Any] = aiter(EventStream(eager(), LATER).body_iterator)
        await anext(parts)
        for _ in range(500):
            await asyncio.sleep(0)
        assert len(made) < 100
        assert len([part async for part in parts]) == 999

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))


def test_a_client_that_takes_nothing_any_more_holds_the_source_no_longer_than_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.api.sse._TAKEN_S", 0.0)

    async def scenario() -> None:
        ended = asyncio.Event()

        async def eager() -> AsyncGenerator[bytes, None]:
            try:
                while True:
                    yield b"x"
            finally:
                ended.set()

        parts: AsyncIterator[Any] = aiter(EventStream(eager(), Deadline.after(1000)).body_iterator)
        assert await anext(parts) == b"x"
        await ended.wait()
        with pytest.raises(DeadlineExceededError, match="stream"):  # the body has no end then
            _ = [part async for part in parts]

    asyncio.run(asyncio.wait_for(scenario(), PATIENCE_S))
