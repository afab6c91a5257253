"""The port of /metrics, where it has one of its own."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import uvicorn

from service.errors import MetricsPortError
from service.server_settings import ServerSettings

if TYPE_CHECKING:
    from fastapi import FastAPI

_LAST_BYTES_S = 1  # for a scrape that is being read when the server ends

_log = logging.getLogger("quarry.serve")


@contextmanager
def taken(settings: ServerSettings) -> Iterator[socket.socket | None]:
    """The port, which nobody else can have from here on; None where /metrics has none of its own.

    Raises:
        MetricsPortError: somebody else has it, or the address is not of this machine.
    """
    if settings.metrics_port is None:
        yield None
        return
    try:
        family, *_, address = socket.getaddrinfo(settings.host, settings.metrics_port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address, family=family)
    except OSError as error:
        raise MetricsPortError(settings.host, settings.metrics_port, _said(error)) from error
    with listener:
        yield listener


def _said(error: OSError) -> str:
    """Without the address, which the message has; a name that cannot be resolved has a number of another kind."""
    return str(error) if error.errno is None or isinstance(error, socket.gaierror) else os.strerror(error.errno)


@asynccontextmanager
async def exposed(app: "FastAPI", listener: socket.socket) -> AsyncIterator[None]:
    """Serve the application there until the block ends; scrapes go on while the API's server drains."""
    from service.api.connection import Listening  # noqa: PLC0415  as in serve

    config = Listening(app, app.state.connections, lifespan="off", timeout_graceful_shutdown=_LAST_BYTES_S)
    server = _MetricsServer(config)
    host, port, *_ = listener.getsockname()
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="metrics")
    starting = asyncio.create_task(server.is_up.wait())
    try:
        await asyncio.wait({serving, starting}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
        _log.info("metrics on http://%s:%d/metrics", f"[{host}]" if ":" in host else host, port)
        yield
    finally:
        starting.cancel()
        server.should_exit = True
        await serving


class _MetricsServer(uvicorn.Server):
    """One that leaves the signals to the API's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.is_up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
