"""An ASGI reply that takes its time, breaks as its rule says, and ends when its client hangs up."""

import socket
import struct
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import anyio
import orjson
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from loadtests.fake_vllm.bodies import Chat
from loadtests.fake_vllm.engine import Engine
from loadtests.fake_vllm.refusals import Refusal
from loadtests.fake_vllm.replies import DONE, Replies
from loadtests.fake_vllm.sequence import Sequence

_GARBAGE = b'data: {"id": "chatcmpl-\n\n'
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Answering:
    """One request from its admission to its last byte."""

    def __init__(self, engine: Engine, sequence: Sequence) -> None:
        self._engine = engine
        self._sequence = sequence
        self._replies = Replies(sequence, engine.options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless the client hangs up first."""
        async with anyio.create_task_group() as group:
            group.start_soon(cancel_on_hang_up, receive, group.cancel_scope)
            await self._answer(scope, receive, send)
            group.cancel_scope.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._engine.scheduler.admitted():
                self._refuse()
                if self._sequence.rule.fault == "freeze":
                    await anyio.sleep_forever()
                if self._sequence.body.stream:
                    await self._stream(scope, send)
                else:
                    await self._whole(scope)
                    whole = orjson.dumps(self._replies.whole())
                    garbled = whole[: len(whole) // 2] if self._sequence.rule.fault == "garbage" else whole
                    await Response(garbled, media_type="application/json")(scope, receive, send)
        except Refusal as refusal:
            await JSONResponse(refusal.body, refusal.status)(scope, receive, send)

    def _refuse(self) -> None:
        if self._sequence.rule.fault == "busy":
            raise Refusal.busy()
        if self._sequence.rule.fault == "dead":
            raise Refusal.dead()

    async def _whole(self, scope: Scope) -> None:
        """Let the time of all tokens pass."""
        async with aclosing(self._engine.speak(self._sequence)) as tokens:
            position = 0
            async for _ in tokens:
                await self._break(position, scope)
                position += 1

    async def _stream(self, scope: Scope, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            async with aclosing(self._chunks(scope)) as chunks:
                async for chunk in chunks:
                    await self._send(send, chunk)
        except Refusal as failure:
            await self._send(send, _event(failure.body))
        await self._send(send, DONE)
        await send({"type": "http.response.body", "body": b""})

    async def _chunks(self, scope: Scope) -> AsyncGenerator[bytes, None]:
        """The events of the stream but the last; the first come together with the first token."""
        sequence, replies = self._sequence, self._replies
        final = len(sequence.answer) - 1
        async with aclosing(self._engine.speak(sequence)) as tokens:
            position = 0
            async for token in tokens:
                if position == 0 and isinstance(sequence.body, Chat):
                    yield _event(replies.role())
                if await self._break(position, scope):
                    yield _GARBAGE
                ends_here = position == final and sequence.finish == "length"
                yield _event(replies.last(token) if ends_here else replies.token(token))
                position += 1
        if sequence.finish == "stop":
            yield _event(replies.last(""))
        if sequence.body.stream_options.include_usage:
            yield _event(replies.usage())

    async def _break(self, position: int, scope: Scope) -> bool:
        """Do what the rule says before this token; whether garbage is to be sent.

        Raises:
            Refusal: the engine is said to have failed.
        """
        rule = self._sequence.rule
        if rule.fault is None or position != min(rule.after, len(self._sequence.answer) - 1):
            return False
        if rule.fault == "error":
            raise Refusal.dead()
        if rule.fault in {"reset", "cut"}:
            _hang_up(scope["state"]["transport"], reset=rule.fault == "reset")
        if rule.fault in {"reset", "cut", "stall"}:
            await anyio.sleep_forever()
        return rule.fault == "garbage"

    async def _send(self, send: Send, event: bytes) -> None:
        rule = self._sequence.rule
        drips = rule.fault == "drip"
        for piece in (event[at : at + 1] for at in range(len(event))) if drips else (event,):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            if drips:
                await anyio.sleep(rule.drip_ms / 1000)


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(body) + b"\n\n"


def _hang_up(transport: Any, reset: bool) -> None:  # noqa: ANN401  asyncio's and uvicorn's transports share no type
    if not reset:
        transport.close()
        return
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


async def cancel_on_hang_up(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel the scope as soon as the client is gone; the request's body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
