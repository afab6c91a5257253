"""RunningParse: a child that reads a file, from the request to its death."""

import asyncio
import os
import signal
import socket
from contextlib import suppress
from types import TracebackType
from typing import Self

from service.errors import ParserUnavailableError
from service.ingest.parsing.fork_server_process import ForkServerProcess
from service.ingest.parsing.messages import BrokenMessageError, Conversation, Request, longest_conversation
from service.ingest.parsing.readiness import readable

_STARTED_WITHIN_S = 30.0
_DEAD_WITHIN_S = 5.0
_PIECE = 64 * 1024


class RunningParse:
    """A context manager that leaves no child behind, however it is left.

    Args:
        file: descriptor of the file to read.

    Raises:
        ParserUnavailableError: the fork server is lost.
    """

    def __init__(self, server: ForkServerProcess, request: Request, file: int) -> None:
        self._most = longest_conversation(request.limits)
        self._said = bytearray()
        self._child: int | None = None
        self._stream, theirs = socket.socketpair()
        with theirs:
            try:
                server.ask(request, theirs.fileno(), file)
            except ParserUnavailableError:
                self._stream.close()
                raise
        self._stream.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._kill()
        if self._child is not None:
            os.close(self._child)
        self._stream.close()  # a child that nobody here knows of yet is killed by the fork server for that

    async def conversation(self, within_s: float) -> Conversation:
        """All that was said when the child is dead.

        Raises:
            TimeoutError: it was killed because it took longer than ``within_s``.
            ParserUnavailableError: no child was started.
            BrokenMessageError: something else than the protocol was said, or more than may be.
        """
        await self._begin()
        try:
            async with asyncio.timeout(within_s):
                await self._listen()
        except TimeoutError:
            await self._die()
            raise
        return Conversation.of(bytes(self._said))

    async def _begin(self) -> None:
        """The first words come with a descriptor of the child, by which it can be killed and no other process."""
        try:
            async with asyncio.timeout(_STARTED_WITHIN_S):
                await readable(self._stream)
            data, descriptors, _, _ = socket.recv_fds(self._stream, _PIECE, 1)
        except (TimeoutError, OSError) as error:
            raise ParserUnavailableError(f"no parser process was started: {error}") from None
        if not data:
            raise ParserUnavailableError("no parser process could be started")
        self._child = descriptors[0] if descriptors else None  # without one it died before it could say a word
        self._said += data

    async def _listen(self) -> None:
        while True:
            await readable(self._stream)
            with suppress(ConnectionResetError):  # of a fork server that was killed
                if data := self._stream.recv(_PIECE):
                    self._said += data
                    if len(self._said) > self._most:
                        raise BrokenMessageError(f"a parser process said more than {self._most} bytes")
                    continue
            return

    async def _die(self) -> None:
        self._kill()
        with suppress(TimeoutError, BrokenMessageError):
            async with asyncio.timeout(_DEAD_WITHIN_S):
                await self._listen()

    def _kill(self) -> None:
        if self._child is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._child, signal.SIGKILL)
