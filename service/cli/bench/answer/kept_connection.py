"""A kept-alive connection, and when the parts of a reply came."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any

import httpx
import orjson

from service.cli.bench.server import connection

# Both servers end a connection that is idle for 5 s, as one is while a slow model writes for the other.
_IDLE_S = 3.0


class FailedReplyError(Exception):
    """A server replied, but not with what is to be measured."""


@dataclass(frozen=True, slots=True)
class Event:
    """A server-sent event.

    Attributes:
        at_s: from the request's first byte until the event was complete.
        name: empty where the server gives none.
    """

    at_s: float
    name: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """A body as it came.

    Attributes:
        parts: (seconds from the request's first byte, bytes).
        total_s: to the end of the body.
    """

    parts: Sequence[tuple[float, bytes]]
    total_s: float

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(part for _, part in self.parts)

    def events(self) -> Iterator[Event]:
        """The body as server-sent events, without OpenAI's [DONE]."""
        held = b""
        for at_s, part in self.parts:
            *frames, held = (held + part).split(b"\n\n")
            for frame in frames:
                fields = dict(line.split(b": ", 1) for line in frame.split(b"\n") if not line.startswith(b":"))
                if fields.get(b"data", b"[DONE]") != b"[DONE]":
                    yield Event(at_s, fields.get(b"event", b"").decode(), orjson.loads(fields[b"data"]))


class KeptConnection:
    """Sends one request after the other to one server.

    Args:
        url: ``http://host:port`` or ``unix:///path``.
        headers: of every request.
    """

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json", **(headers or {})}
        self._http: HTTPConnection | None = None
        self._used_at = 0.0

    def post(self, path: str, body: Mapping[str, object]) -> Reply:
        """The reply to a JSON body. Nothing is parsed while the clock runs, whoever sends the reply.

        Raises:
            FailedReplyError: its status is not 200.
        """
        http, content = self._awake(), orjson.dumps(body)
        parts = []
        start = time.perf_counter()
        http.request("POST", path, content, self._headers)
        response = http.getresponse()
        while part := response.read1():
            parts.append((time.perf_counter() - start, part))
        reply = Reply(parts, time.perf_counter() - start)
        response.read()  # nothing is left, but only this tells the connection so
        self._used_at = time.monotonic()
        if response.status != httpx.codes.OK:
            raise FailedReplyError(f"{path} replied {response.status}: {reply.body.decode(errors='replace')}")
        return reply

    def _awake(self) -> HTTPConnection:
        """The connection, a new one where the server may have ended it."""
        if self._http is None or time.monotonic() - self._used_at > _IDLE_S:
            self.close()
            self._http = connection(self._url)
        return self._http

    def close(self) -> None:
        """End it; the next request opens another."""
        if self._http:
            self._http.close()
            self._http = None
