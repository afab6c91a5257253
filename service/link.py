"""Link: messages between ``quarry up`` and the ``quarry serve`` it runs, over a pair of sockets.

A message is a JSON object on a line. From the parent: ``{"llm": name, "phase": phase, "why": text}``. To the parent:
``{"ready": true}``, ``{"held": true}`` and ``{"token_at": seconds}`` by the clock of ``time.monotonic()``, which all
processes of a machine share.
"""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

import orjson

_LONGEST_LINE = 64 * 1024
# What a peer that does not read may leave behind; hours of messages.
_LARGEST_BACKLOG = 256 * 1024

_log = logging.getLogger("quarry.link")


class Link:
    """One end of the pair. ``over`` makes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Self:
        """Take over a connected stream socket."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=_LONGEST_LINE))

    def send(self, message: Mapping[str, object]) -> None:
        """Send, or drop what a peer that is gone or does not read would never see."""
        transport = self._writer.transport
        if not transport.is_closing() and transport.get_write_buffer_size() < _LARGEST_BACKLOG:
            self._writer.write(orjson.dumps(message) + b"\n")

    async def messages(self) -> AsyncIterator[Mapping[str, Any]]:
        """What the other end says, until it is gone. What is no message ends it too: nobody else writes here."""
        try:
            while line := await self._reader.readline():
                message = orjson.loads(line)
                if not isinstance(message, dict):
                    raise ValueError(f"{message!r} is no object")
                yield message
        except ConnectionError:
            return
        except ValueError as error:
            _log.warning("the link to the other process is given up: %s", error)

    def close(self) -> None:
        """The other end sees that this one is gone."""
        self._writer.close()
