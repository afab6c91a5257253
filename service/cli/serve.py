"""quarry serve."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
import uvicorn

from indexes.data_directory import is_owned
from indexes.errors import DataDirectoryInUseError, IndexesError
from models.base import ModelError
from service.access.opened import own_keys
from service.cli.configuration import link_or_fail, settings_or_fail
from service.cli.console import err, fail
from service.cli.interpreter import bound_shapes, settle_memory, share_the_cores, share_the_interpreter
from service.cli.metrics_port import exposed, taken
from service.cli.open_files import raise_open_files
from service.content.rule_file import RuleFileError
from service.errors import ExtraMissingError, KeylessError, KeysUnavailableError, MetricsPortError
from service.ingest.parsing.fork_server_process import ForkServerProcess
from service.settings import Settings
from service.telemetry.logs import configure_logging, log_forgotten

if TYPE_CHECKING:
    from fastapi import FastAPI

# What Kubernetes grants a process to end; one that is run there wants more than that of it.
_DRAIN_S = 30
_LAST_BYTES_S = 5  # for what is left of the connections then

_log = logging.getLogger("quarry.serve")


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. [default: 8080]")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of /metrics alone; 0 takes a free one. [default: the API's]")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where documents are kept. [default: quarry-data]")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
) -> None:
    """Serve the HTTP API."""
    server = {"host": host, "port": port, "metrics_port": metrics_port}
    flags: dict[str, Any] = {"server": {name: value for name, value in server.items() if value is not None}}
    if data_dir is not None:
        flags["data_dir"] = data_dir
    settings, link = settings_or_fail(config, flags), link_or_fail()
    if settings.server.role == "writer" and is_owned(
        settings.data_dir
    ):  # the catalogue decides, but seconds of imports later
        fail(str(DataDirectoryInUseError(settings.data_dir)))
    try:
        configure_logging(settings.server.log_level, settings.access.audit_log)
    except OSError as error:
        fail(f"access.audit_log: {error}")
    _say_who_may_ask(settings)
    share_the_cores()
    bound_shapes()
    try:
        with taken(settings.server) as metrics_listener:
            _log.info("loading %s", ", ".join(_models(settings)))
            with _fork_server(settings) as fork_server:
                _serve(settings, link, fork_server, metrics_listener)
    except MetricsPortError as error:
        fail(str(error))


def _say_who_may_ask(settings: Settings) -> None:
    """Before anything that takes time: a server that others reach and that has no key ends here."""
    if settings.access.keys == "replicated":
        _log.info("every request needs a key: one of another process, by way of Redis")
        return
    try:
        keys = own_keys(settings)
    except (KeylessError, KeysUnavailableError) as error:
        fail(str(error))
    if keys.are_needed:
        configured = " and access.admin_key" if settings.access.admin_key else ""
        _log.info("every request needs a key: %d hold%s", len(keys.holding), configured)
    else:
        _log.info("no key is needed at %s: whoever is on this machine may do everything", settings.server.host)


def _models(settings: Settings) -> list[str]:
    """Names of what takes most of a start."""
    reranker = [settings.rerank.model] if settings.rerank.model else []
    return [settings.embedding.model, *settings.embedding.also, *reranker]


@contextmanager
def _fork_server(settings: Settings) -> Iterator[ForkServerProcess | None]:
    """Started before torch, while this process is small; None where it cannot be, which parsing a file then says.

    A replica parses none.
    """
    if settings.server.role == "replica":
        yield None
        return
    try:
        process = ForkServerProcess()
    except OSError:
        yield None
        return
    with closing(process):  # the application ends it too, if it gets that far
        yield process


def _serve(
    settings: Settings,
    link: int | None,
    fork_server: ForkServerProcess | None,
    metrics_listener: socket.socket | None,
) -> None:
    from service.api.connection import Listening  # noqa: PLC0415  as below
    from service.app import Outside, create_app  # noqa: PLC0415  brings torch, seconds that no other command should wait for

    share_the_interpreter()
    raise_open_files()  # after the fork server, whose children need few
    outside = Outside(on_lost=lambda: server.lose_device(), link=link, fork_server=fork_server)  # noqa: PLW0108  made below
    app = create_app(settings, outside)
    uvicorn_config = Listening(
        app,
        app.state.connections,
        host=settings.server.host,
        port=settings.server.port,
        lifespan="off",
        timeout_graceful_shutdown=_LAST_BYTES_S,
    )
    server = _Server(uvicorn_config, app)
    try:
        with asyncio.Runner(loop_factory=uvicorn_config.get_loop_factory()) as runner:
            is_stuck = runner.run(_run(app, server, metrics_listener))
    except (
        IndexesError,
        ModelError,
        KeylessError,
        KeysUnavailableError,
        RuleFileError,
        ExtraMissingError,
    ) as error:
        fail(str(error))
    if is_stuck:
        err.print("quarry: a forward did not come back; the process ends without it", style="red")
        os._exit(1)  # the interpreter would wait for its thread
    if server.has_lost_device:
        fail("the device is lost; its last words are in the log")


async def _run(app: "FastAPI", server: uvicorn.Server, metrics_listener: socket.socket | None) -> bool:
    """Enter the lifespan outside the server, so that what goes wrong in it arrives here as it was raised.

    Returns:
        Whether a thread is left that cannot be ended.
    """
    asyncio.get_running_loop().set_exception_handler(log_forgotten)
    async with app.router.lifespan_context(app):
        settle_memory()
        async with _metrics(app, metrics_listener):
            await server.serve()
    return bool(app.state.services.engine.is_stuck)


def _metrics(app: "FastAPI", listener: socket.socket | None) -> AbstractAsyncContextManager[None]:
    """/metrics on the port of its own, where it has one."""
    from service.app import create_metrics_app  # noqa: PLC0415  loaded by now

    return nullcontext() if listener is None else exposed(create_metrics_app(app.state.services), listener)


class _Server(uvicorn.Server):
    """Ends in order on SIGINT and SIGTERM, at once on a second one.

    uvicorn's own way raises the signal again, before the lifespan has ended, and cuts answers with a traceback each.
    """

    has_lost_device = False

    def __init__(self, config: uvicorn.Config, app: "FastAPI") -> None:
        super().__init__(config)
        self._app = app
        self._draining: asyncio.Task[None] | None = None

    def lose_device(self) -> None:
        """End in order too, so that whoever supervises the process starts a new one."""
        self.has_lost_device = True
        if self.started:
            self._end_in_order()
        else:
            self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Let answers finish first."""
        if self._draining:
            self._app.state.drain.hurry()
        self._end_in_order()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self._app.state.services.supervised.report_ready()

    def _end_in_order(self) -> None:
        if self._draining is None:
            self._draining = asyncio.create_task(self._drain(), name="drain")

    async def _drain(self) -> None:
        _log.info("shutting down; no new requests are taken on")
        self._app.state.services.supervised.shut_down()
        cut = await self._app.state.drain.run(_DRAIN_S)
        if cut:
            _log.warning("%d answers were not finished in time and are cut", cut)
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield
