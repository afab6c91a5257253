"""Asking: requests over a connection that stays open, one at a time, with the time each took."""

import re
import socket
import time
from dataclasses import dataclass, field

import httpx
import orjson

_MILLISECONDS = 1000
_PATIENCE_S = 120.0
_READ_BYTES = 65536
_END = b"\r\n\r\n"
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_RETRY_MS = re.compile(rb"\r\nretry-after-ms: (\d+)", re.IGNORECASE)


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
    """One connection of one client, which reads no more of a head than it needs: a header costs nothing here.

    Attributes:
        key: that it shows; None shows none.
    """

    url: str
    key: str | None = None
    _socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        url = httpx.URL(self.url)
        self._socket = socket.create_connection((url.host, url.port or 0), timeout=_PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def ask(self, path: str, body: object = None) -> Timed:
        """POST a body, or GET where there is none."""
        request = self._request(path, b"" if body is None else orjson.dumps(body))
        start = time.perf_counter()
        self._socket.sendall(request)
        head = self._read()
        seconds = time.perf_counter() - start
        status, retry = _STATUS.match(head), _RETRY_MS.search(head)
        return Timed(int(status[1]) if status else 0, seconds, int(retry[1]) / _MILLISECONDS if retry else 0.0)

    def _request(self, path: str, body: bytes) -> bytes:
        lines = [f"{'POST' if body else 'GET'} {path} HTTP/1.1", "Host: localhost"]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        if self.key:
            lines.append(f"Authorization: Bearer {self.key}")
        return "\r\n".join(lines).encode() + _END + body

    def _read(self) -> bytes:
        """The head of a reply whose body has been read too.

        Raises:
            ConnectionError: the server closed, or its reply has no length.
        """
        held = b""
        while _END not in held:
            held += self._more()
        head, _, body = held.partition(_END)
        length = _LENGTH.search(head)
        if length is None:
            raise ConnectionError("a reply without a length")
        left = int(length[1]) - len(body)
        while left > 0:
            left -= len(self._more())
        return head

    def _more(self) -> bytes:
        part = self._socket.recv(_READ_BYTES)
        if not part:
            raise ConnectionError("the server closed the connection")
        return part
