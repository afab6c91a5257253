"""Asking: requests over connections that stay open, one at a time, with the time each took."""

import time
from dataclasses import dataclass, field
from http.client import HTTPConnection

import orjson

from service.cli.bench.server import connection

_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class Timed:
    """A reply.

    Attributes:
        seconds: from the first byte sent to the last byte read.
        retry_s: after which it is worth asking again; 0 where it was not said.
    """

    status: int
    seconds: float
    retry_s: float


@dataclass(slots=True)
class Asking:
    """One connection of one client.

    Attributes:
        key: that it shows; None shows none.
    """

    url: str
    key: str | None = None
    _connection: HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = connection(self.url)

    def ask(self, path: str, body: object = None) -> Timed:
        """POST a body, or GET where there is none."""
        content = None if body is None else orjson.dumps(body)
        headers = {"Content-Type": "application/json"} if content else {}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        start = time.perf_counter()
        self._connection.request("POST" if content else "GET", path, content, headers)
        response = self._connection.getresponse()
        response.read()
        seconds = time.perf_counter() - start
        return Timed(response.status, seconds, float(response.headers.get("retry-after-ms", 0)) / _MILLISECONDS)
