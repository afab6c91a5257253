"""The application in process, and a language model's server that says what a test wants it to say."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import httpx
import orjson
import pytest
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from models.base import Embedder
from models.hashing import HashingEmbedder
from service.app import create_app
from service.settings import Settings

READY_WITHIN_S = 20.0


class _InProcess(httpx.BaseTransport):
    """Requests to an application whose event loop runs in a thread."""

    def __init__(self, portal: BlockingPortal, app: FastAPI) -> None:
        self._portal = portal
        self._asgi = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._handle, request, request.read())

    async def _handle(self, request: httpx.Request, body: bytes) -> httpx.Response:
        # With a stream instead of content httpx adds no Content-Length to a chunked request.
        sent = httpx.Request(request.method, request.url, headers=request.headers, stream=httpx.ByteStream(body))
        response = await self._asgi.handle_async_request(sent)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())


@pytest.fixture
def open_api(tmp_path: Path) -> Iterator[Callable[..., AbstractContextManager[httpx.Client]]]:
    """(embedder=..., **settings) -> the application on this test's data directory, from start-up to shutdown."""
    with start_blocking_portal() as portal:

        @contextmanager
        def opened(embedder: Embedder | None = None, **settings: object) -> Iterator[httpx.Client]:
            app = create_app(Settings(data_dir=tmp_path / "data", **settings), embedder or HashingEmbedder())
            with (
                portal.wrap_async_context_manager(app.router.lifespan_context(app)),
                httpx.Client(transport=_InProcess(portal, app), base_url="http://quarry") as client,
            ):
                yield client

        yield opened


@pytest.fixture
def api(open_api: Callable[..., AbstractContextManager[httpx.Client]]) -> Iterator[httpx.Client]:
    """The application with default settings and the hashing embedder."""
    with open_api() as client:
        yield client


@pytest.fixture
def problem() -> Callable[[httpx.Response, int, str], dict[str, Any]]:
    """(response, status, code) -> the problem's body, after every field that api.md promises was looked at."""

    def checked(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        body: dict[str, Any] = response.json()
        assert set(body) == {
            "type", "title", "status", "detail", "instance", "request_id", "stage", "retryable", "error",
        }  # fmt: skip
        assert body["status"] == status
        assert body["type"] == f"urn:quarry:problem:{code}"
        assert body["instance"].startswith("/")
        assert body["request_id"] == response.headers["x-request-id"]
        assert body["error"]["code"] == code
        assert body["error"]["message"] == body["detail"]
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert ("retry-after" in response.headers) == body["retryable"]
        return body

    return checked


@pytest.fixture
def llm_requests() -> list[dict[str, Any]]:
    """Bodies that the scripted language model was sent."""
    return []


@pytest.fixture
def language_model(llm_requests: list[dict[str, Any]], tmp_path: Path) -> Iterator[Callable[..., str]]:
    """(pieces, status=200, end="") -> address of a server that answers each request with these pieces of a body.

    ``end`` "stall" then sends nothing more, "trickle" comments for ever, "cut" breaks the connection; ``socket=True``
    listens on a Unix socket.
    """
    with ExitStack() as stack:

        def start(pieces: Sequence[bytes], status: int = 200, end: str = "", *, socket: bool = False) -> str:
            app = _scripted(pieces, status, end, llm_requests)
            path = str(tmp_path / "llm.sock") if socket else None
            return stack.enter_context(_running(app, path))

        yield start


def _scripted(pieces: Sequence[bytes], status: int, end: str, requests: list[dict[str, Any]]) -> FastAPI:
    app = FastAPI()

    async def body(request: Request) -> Any:  # noqa: ANN401  an async generator
        for piece in pieces:
            yield piece
        while end in {"stall", "trickle"} and not await request.is_disconnected():
            if end == "trickle":
                yield b": still here\n\n"
            await asyncio.sleep(0.01)  # nothing but asking again tells that the client left
        if end == "cut":
            raise ConnectionError("cut on purpose")

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        requests.append(orjson.loads(await request.body()) | {"authorization": request.headers.get("authorization")})
        if status != httpx.codes.OK:
            return Response(b"".join(pieces), status)
        return StreamingResponse(body(request), media_type="text/event-stream")

    return app


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """(**settings) -> address of the application, served from a thread with the hashing embedder."""
    with ExitStack() as stack:

        def start(**settings: object) -> str:
            app = create_app(Settings(data_dir=tmp_path / "served", **settings), HashingEmbedder())
            return stack.enter_context(_running(app, None, lifespan="on"))

        yield start


@contextmanager
def _running(app: FastAPI, socket_path: str | None, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    address: dict[str, Any] = {"uds": socket_path} if socket_path else {"host": "127.0.0.1", "port": 0}
    config = uvicorn.Config(app, **address, log_config=None, log_level="critical", lifespan=lifespan, ws="none")
    server = _Announced(config)
    thread = threading.Thread(target=server.run, name="server-of-a-test")
    thread.start()
    try:
        assert server.ready.wait(READY_WITHIN_S)
        port = 0 if socket_path else server.servers[0].sockets[0].getsockname()[1]
        yield f"unix://{socket_path}" if socket_path else f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


class _Announced(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
