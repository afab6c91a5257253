"""Connections: kept alive, the one used last is used next, none that its server may have closed meanwhile."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic

from gevent.ssl import SSLContext, create_default_context
from geventhttpclient import HTTPClient
from geventhttpclient.response import HTTPSocketPoolResponse

# uvicorn ends a connection that was idle for 5 s, and a request that meets its end would look like a failure.
_IDLE_S = 3.0
_FRAMES = 16 * 1024


class Connection(HTTPClient):
    """One that sends what it is given once.

    The client's own ``request`` sends a PUT again where a connection is lost: the loss would not be seen, and the
    server would have more to do than was offered.
    """

    def once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> HTTPSocketPoolResponse:
        """The reply, of which the head is there.

        Raises:
            OSError, HTTPConnectionClosed, HTTPParseError: there is none.
        """
        head = self._build_request(method, path, body, headers).encode("latin-1")
        sock = self._connection_pool.get_socket()
        try:
            sock.sendall(head + body)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a server may refuse before it has all of it, and its reply is there
        except BaseException:
            self._connection_pool.release_socket(sock)
            raise
        return HTTPSocketPoolResponse(sock, self._connection_pool, block_size=self.block_size, method=method)


class Connections:
    """As many as there are requests under way.

    Args:
        url: of the server, with http or https.
        timeout_s: of connecting, and of a read.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._idle: list[tuple[float, Connection]] = []

    @contextmanager
    def one(self) -> Iterator[Connection]:
        """A connection for one request; after an error it is closed."""
        client = self._idle_one() or Connection.from_url(
            self._url,
            concurrency=1,
            block_size=_FRAMES,
            connection_timeout=self._timeout_s,
            network_timeout=self._timeout_s,
            ssl_context_factory=_trusted,
        )
        try:
            yield client
        except BaseException:
            client.close()
            raise
        self._idle.append((monotonic(), client))

    def _idle_one(self) -> Connection | None:
        if not self._idle:
            return None
        used, client = self._idle.pop()
        if monotonic() - used <= _IDLE_S:
            return client
        client.close()
        self.close()  # those below were used before
        return None

    def close(self) -> None:
        """End those that are idle."""
        for _, client in self._idle:
            client.close()
        self._idle.clear()


def _trusted(cafile: str) -> SSLContext:
    """OpenSSL's own, which knows SSL_CERT_FILE and SSL_CERT_DIR, in the place of the client's."""
    return create_default_context()
