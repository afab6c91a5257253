"""KeptForkServer: a fork server that is there when it is needed, started again when it was lost."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Self

from anyio import CancelScope
from anyio.to_thread import run_sync

from service.errors import ParserUnavailableError
from service.ingest.parsing.fork_server_process import ForkServerProcess

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0
_MOST_DOUBLINGS = 16

_log = logging.getLogger("quarry.parsing")


class KeptForkServer:
    """One fork server at a time. An async context manager that ends it.

    It is started when a file is there to be parsed, so that nothing goes round in circles where it cannot be: after a
    loss at once, after a loss without a parse in between ever later.

    Args:
        process: one that was started already.
        start: starts another.
        on_start: called for every start.
    """

    def __init__(
        self,
        process: ForkServerProcess | None = None,
        start: Callable[[], ForkServerProcess] = ForkServerProcess,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        self._process = process
        self._start = start
        self._on_start = on_start
        self._starting = asyncio.Lock()
        self._losses = 0
        self._not_before = 0.0
        self._confinement: dict[str, object] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        with CancelScope(shield=True):
            await self._end()

    async def running(self) -> ForkServerProcess:
        """A fork server that is ready.

        Raises:
            ParserUnavailableError: none can be started now.
        """
        async with self._starting:
            if self._process is not None and not self._process.is_running:
                await self._lose()
            if self._process is None:
                self._process = self._started()
            await self._greet(self._process)
            return self._process

    def worked(self) -> None:
        """A child has come to its end in order."""
        self._losses = 0

    def describe(self) -> dict[str, object]:
        """For /v1/status: whether it runs, and what keeps its children in."""
        process = self._process
        running = process is not None and process.is_running
        return {"fork_server": process.pid if process and running else None, "confinement": self._confinement}

    async def _greet(self, process: ForkServerProcess) -> None:
        try:
            hello = await process.hello()
        except ParserUnavailableError:
            await self._lose()
            raise
        self._confinement = asdict(hello)

    def _started(self) -> ForkServerProcess:
        if (wait := self._not_before - time.monotonic()) > 0:
            raise ParserUnavailableError(
                f"the parsers' fork server was lost; it is not started for another {wait:.1f} s"
            )
        try:
            process = self._start()
        except OSError as error:
            self._count_loss()
            raise ParserUnavailableError(f"the parsers' fork server cannot be started: {error}") from None
        self._on_start()
        return process

    async def _lose(self) -> None:
        _log.error("the parsers' fork server was lost")
        self._count_loss()
        await self._end()

    def _count_loss(self) -> None:
        if self._losses:
            pause = min(_FIRST_PAUSE_S * 2.0 ** min(self._losses, _MOST_DOUBLINGS), _LONGEST_PAUSE_S)
            self._not_before = time.monotonic() + pause
        self._losses += 1

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await run_sync(process.close)
