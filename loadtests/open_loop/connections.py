"""Connections: kept alive, the one used last is used next, none that its server may have closed meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from gevent.ssl import SSLContext, create_default_context
from geventhttpclient import HTTPClient

# uvicorn ends a connection that was idle for 5 s, and a request that meets its end would look like a failure.
_IDLE_S = 3.0
_FRAMES = 16 * 1024


class Connections:
    """As many as there are requests under way.

    Args:
        url: of the server, with http or https.
        timeout_s: of connecting, and of a read.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._idle: list[tuple[float, HTTPClient]] = []

    @contextmanager
    def one(self) -> Iterator[HTTPClient]:
        """A connection for one request; after an error it is closed."""
        client = self._idle_one() or HTTPClient.from_url(
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

    def _idle_one(self) -> HTTPClient | None:
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
