"""A language model's server on a real socket that does what a test tells it, well or badly."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PATIENCE_S = 200.0
DONE = b"data: [DONE]\n\n"
HEADERS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
COMPLETIONS = "/v1/chat/completions"


@dataclass
class Received:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def is_canary(self) -> bool:
        return self.path == COMPLETIONS and not self.body.get("stream")

    @property
    def is_answer(self) -> bool:
        return self.path == COMPLETIONS and not self.is_canary


@dataclass
class Connection:
    """What a behaviour may do with the connection a request came on."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: "ScriptedLlm"

    async def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))
        await self.writer.drain()

    async def chunk(self, *parts: bytes) -> None:
        """One part of a body."""
        await self.send(*(b"%x\r\n%b\r\n" % (len(part), part) for part in parts))

    async def until_closed(self) -> None:
        """Say nothing more until the client goes."""
        while await self.reader.read(1024):
            pass
        raise ConnectionResetError


Behaviour = Callable[[Connection], Awaitable[None]]


def said(text: str) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})


def event(chunk: object) -> bytes:
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


def usage(prompt: int = 7, completion: int = 3, **more: object) -> bytes:
    counts = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return event({"choices": [], "usage": counts | more})


def finishing(reason: str = "stop") -> bytes:
    return event({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]})


def ending(*events: bytes) -> Behaviour:
    """A stream of these events and [DONE]."""

    async def behave(connection: Connection) -> None:
        await connection.send(HEADERS)
        await connection.chunk(*events, DONE)
        await connection.send(b"0\r\n\r\n")

    return behave


def answering(*events: bytes) -> Behaviour:
    """A stream of these events and its proper end: a finish_reason, unless one of them has it or says too little."""
    said_all = b"".join(events)
    is_unfinished = b'"content"' in said_all and b'"finish_reason": "' not in said_all
    return ending(*events, *([finishing()] if is_unfinished else []))


def replying(status: int, body: object, headers: str = "content-type: application/json\r\n") -> Behaviour:
    """A whole reply; ``body`` is JSON unless it is bytes."""

    async def behave(connection: Connection) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        await connection.send(
            f"HTTP/1.1 {status} X\r\n{headers}content-length: {len(content)}\r\n\r\n".encode(), content
        )

    return behave


def error(status: int, message: str, **more: object) -> Behaviour:
    """As vLLM refuses."""
    return replying(status, {"error": {"message": message, "type": "Error", "param": None, "code": status} | more})


async def silent(connection: Connection) -> None:
    """Not even headers."""
    await connection.until_closed()


def silent_after(*events: bytes) -> Behaviour:
    async def behave(connection: Connection) -> None:
        await connection.send(HEADERS)
        await connection.chunk(*events)
        await connection.until_closed()

    return behave


def gated(gate: asyncio.Event, *events: bytes) -> Behaviour:
    """An answer that begins when the gate opens."""

    async def behave(connection: Connection) -> None:
        await gate.wait()
        await answering(*events)(connection)

    return behave


def paused(gate: asyncio.Event, first: bytes, *others: bytes) -> Behaviour:
    """One event, and the others when the gate opens."""

    async def behave(connection: Connection) -> None:
        await connection.send(HEADERS)
        await connection.chunk(first)
        await gate.wait()
        await connection.chunk(*others, finishing(), DONE)
        await connection.send(b"0\r\n\r\n")

    return behave


def torn_after(*events: bytes) -> Behaviour:
    """The connection is reset in mid-stream."""

    async def behave(connection: Connection) -> None:
        await connection.send(HEADERS)
        await connection.chunk(*events)
        connection.writer.transport.abort()
        raise ConnectionResetError

    return behave


async def torn(connection: Connection) -> None:
    """Reset before a word."""
    connection.writer.transport.abort()
    raise ConnectionResetError


def dripping(data: bytes) -> Behaviour:
    """Single bytes, over and over, a little time between them."""

    async def behave(connection: Connection) -> None:
        await connection.send(HEADERS)
        while True:
            for byte in data:
                await connection.chunk(bytes([byte]))
                await asyncio.sleep(0.001)

    return behave


def steady(data: bytes) -> Behaviour:
    """The same event over and over, a little time between."""

    async def behave(connection: Connection) -> None:
        await connection.send(HEADERS)
        while True:
            await connection.chunk(data)
            await asyncio.sleep(0.001)

    return behave


def flooding(data: bytes) -> Behaviour:
    """The same bytes as fast as they are taken."""

    async def behave(connection: Connection) -> None:
        await connection.send(HEADERS)
        while True:
            await connection.chunk(data)

    return behave


_YES = answering(said("Yes [1]."), usage())
_ONE_TOKEN = replying(200, {"choices": [{"message": {"content": "x"}}]})
_MODELS = replying(200, {"data": [{"id": "tiny", "max_model_len": 4096}]})
_UNKNOWN = replying(404, {})


@dataclass
class ScriptedLlm:
    """Answers take the behaviours in turn, and the last one again and again.

    Attributes:
        gone: connections that the client closed, or that broke.
    """

    answers: Sequence[Behaviour] = (_YES,)
    canary: Behaviour = _ONE_TOKEN
    models: Behaviour = _MODELS
    tokenize: Behaviour = _UNKNOWN
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    gone: int = 0
    url: str = ""

    def of(self, path: str) -> list[Received]:
        return [request for request in self.received if request.path == path]

    @property
    def asked(self) -> list[Received]:
        """Answers that were asked for."""
        return [request for request in self.received if request.is_answer]

    @property
    def canaries(self) -> int:
        return sum(request.is_canary for request in self.received)

    @asynccontextmanager
    async def listening(self, socket: Path | None = None) -> AsyncIterator["ScriptedLlm"]:
        if socket:
            server = await asyncio.start_unix_server(self._serve, socket)
            self.url = f"unix://{socket}"
        else:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._tasks: set[asyncio.Task[None]] = set()
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        try:
            while True:
                request = await self._read(reader)
                self.received.append(request)
                await self._behaviour(request)(Connection(reader, writer, self))
        except (ConnectionError, asyncio.IncompleteReadError):
            self.gone += 1
        except asyncio.CancelledError:
            pass  # the test is over; the server's callback would log it
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> Received:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Received(head[0].split(" ")[1], headers, json.loads(body) if body else {})

    def _behaviour(self, request: Received) -> Behaviour:
        if request.path == "/v1/models":
            return self.models
        if request.path == "/tokenize":
            return self.tokenize
        if request.is_canary:
            return self.canary
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  the condition is another party's
            await asyncio.sleep(0.005)
