"""Stands between Quarry and a model server, and tells the model what to say.

Random weights speak noise, and Quarry never asks for a grammar: this adds ``structured_outputs`` to what passes, so
that the server writes known text, token by token.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Receive, Scope, Send

from loadtests.fake_vllm.answering import cancel_on_hang_up

_TIMEOUT_S = 300.0
_KEPT = 100


class Prompter:
    """An ASGI application that passes every request on.

    Attributes:
        text: what the model is to say; None leaves it alone.
        extra: further fields for the body, e.g. ``ignore_eos``.
        bodies: of the completions that passed, as they came.

    Args:
        lists_models: otherwise /v1/models is empty, as behind a gateway that keeps its own list.
    """

    def __init__(self, socket_of_server: str, *, lists_models: bool = True) -> None:
        self._socket = socket_of_server
        self._lists_models = lists_models
        self.text: str | None = None
        self.extra: dict[str, Any] = {}
        self.bodies: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its reply back; a client that hangs up is hung up on."""
        body = await Request(scope, receive).body()
        async with anyio.create_task_group() as group:
            group.start_soon(cancel_on_hang_up, receive, group.cancel_scope)
            with suppress(httpx.TransportError):  # uvicorn ends what was not answered, or not to its end
                await self._pass_on(scope, body, receive, send)
            group.cancel_scope.cancel()

    async def _pass_on(self, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
        if scope["path"] == "/v1/models" and not self._lists_models:
            return await JSONResponse({"object": "list", "data": []})(scope, receive, send)
        if scope["path"].endswith("/completions"):
            body = self._prompted(body)
        headers = {name: value for name, value in scope["headers"] if name not in {b"host", b"content-length"}}
        transport = httpx.AsyncHTTPTransport(uds=self._socket)
        async with (
            httpx.AsyncClient(base_url="http://vllm", transport=transport, timeout=_TIMEOUT_S) as client,
            client.stream(scope["method"], scope["path"], content=body, headers=list(headers.items())) as reply,
        ):
            passed = {name: value for name, value in reply.headers.items() if name == "content-type"}
            await StreamingResponse(_bytes(reply), reply.status_code, passed)(scope, receive, send)

    def _prompted(self, body: bytes) -> bytes:
        asked = orjson.loads(body)
        self.bodies.append(dict(asked))
        if self.text is not None:
            asked["structured_outputs"] = {"choice": [self.text]}
        return orjson.dumps(asked | self.extra)


@dataclass(frozen=True, slots=True)
class PrompterServer:
    """A prompter and where it listens."""

    url: str
    app: Prompter


async def _bytes(reply: httpx.Response) -> AsyncIterator[bytes]:
    async for piece in reply.aiter_bytes():
        yield piece
