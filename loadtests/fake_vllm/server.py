"""The fake server on a socket: as long as a process lives, or for the length of a ``with`` block in a test."""

import asyncio
import socket
import threading
from asyncio import Transport
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from loadtests.fake_vllm.app import FakeApp
from loadtests.fake_vllm.options import Options

_END_S = 30.0
_BACKLOG = 1024


class _Protocol(H11Protocol):
    """Tells the application which connection a request came by, so that it can be reset."""

    def connection_made(self, transport: Transport) -> None:
        super().connection_made(transport)
        self.app_state = self.app_state | {"transport": transport}


def configuration(app: ASGIApp, **where: Any) -> uvicorn.Config:  # noqa: ANN401  as uvicorn takes them
    """How uvicorn runs the application; ``where`` is ``uds`` or ``host`` and ``port``."""
    return uvicorn.Config(app, loop="asyncio", http=_Protocol, lifespan="off", log_level="warning", **where)


@dataclass(frozen=True, slots=True)
class FakeVllm:
    """A fake server in this process.

    Attributes:
        url: as Quarry's settings take it: ``http://127.0.0.1:port``, or ``unix:///path``.
        app: the application. It lives on another thread: read what it counts, and leave the rest to HTTP.
    """

    url: str
    app: FakeApp

    def client(self) -> httpx.Client:
        """A client of it, to be closed by the caller."""
        on_socket = self.url.startswith("unix://")
        transport = httpx.HTTPTransport(uds=self.url.removeprefix("unix://")) if on_socket else None
        return httpx.Client(base_url="http://fake" if on_socket else self.url, transport=transport, trust_env=False)

    def script(self, *rules: dict[str, Any], engine: str = "ok") -> None:
        """Give orders, which replace those before; none at all is the server as it started."""
        with self.client() as client:
            client.post("/fake/script", json={"rules": rules, "engine": engine}).raise_for_status()

    def state(self) -> dict[str, Any]:
        """Counts of sequences, and the last bodies received."""
        with self.client() as client:
            counted: dict[str, Any] = client.get("/fake/state").raise_for_status().json()
        return counted


@contextmanager
def served(app: ASGIApp, uds: Path | None = None) -> Iterator[str]:
    """An application on a thread of this process, on a Unix socket or a free port of 127.0.0.1; yields its URL."""
    family = socket.AF_UNIX if uds else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.bind(str(uds) if uds else ("127.0.0.1", 0))
        listening.listen(_BACKLOG)
        server = uvicorn.Server(configuration(app))
        running = _until_told(server, listening)
        thread = threading.Thread(target=asyncio.run, args=(running,), name="served", daemon=True)
        thread.start()
        try:
            yield f"unix://{uds}" if uds else f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join(_END_S)
    if uds:
        uds.unlink(missing_ok=True)


async def _until_told(server: uvicorn.Server, listening: socket.socket) -> None:
    """Serve until told to exit; requests that go on are dropped with their connections."""
    await server.serve([listening])
    for connection in list(server.server_state.connections):
        if connection.transport:
            connection.transport.abort()
    await asyncio.sleep(0)  # the loop closes them on its next turn, and it is to end after this one


@contextmanager
def fake_vllm(options: Options | None = None, uds: Path | None = None) -> Iterator[FakeVllm]:
    """A fake server on a thread of this process."""
    app = FakeApp(options or Options())
    with served(app, uds) as url:
        yield FakeVllm(url, app)
