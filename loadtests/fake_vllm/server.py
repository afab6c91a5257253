"""The fake server on a socket: as long as a process lives, or for the length of a ``with`` block in a test."""

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
from uvicorn.protocols.http.h11_impl import H11Protocol

from loadtests.fake_vllm.app import FakeApp
from loadtests.fake_vllm.options import Options

_START_S = 30.0


class _Protocol(H11Protocol):
    """Tells the application which connection a request came by, so that it can be reset."""

    def connection_made(self, transport: Transport) -> None:
        super().connection_made(transport)
        self.app_state = self.app_state | {"transport": transport}


def configuration(app: FakeApp, **where: Any) -> uvicorn.Config:  # noqa: ANN401  as uvicorn takes them
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
def fake_vllm(options: Options | None = None, uds: Path | None = None) -> Iterator[FakeVllm]:
    """A fake server on a thread of this process, on a Unix socket or a free port of 127.0.0.1."""
    app = FakeApp(options or Options())
    family = socket.AF_UNIX if uds else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        listening.bind(str(uds) if uds else ("127.0.0.1", 0))
        listening.listen(1024)
        url = f"unix://{uds}" if uds else f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(configuration(app))
        thread = threading.Thread(target=server.run, args=([listening],), name="fake-vllm", daemon=True)
        thread.start()
        try:
            yield FakeVllm(url, app)
        finally:
            server.should_exit = server.force_exit = True
            thread.join(_START_S)
    if uds:
        uds.unlink(missing_ok=True)
