"""ChatClient: requests of a server that speaks OpenAI's protocol, over TCP or a Unix socket."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson
from aiohttp.http_exceptions import ContentEncodingError
from pydantic import SecretStr
from yarl import URL

from service.budget import Deadline
from service.errors import LlmBadResponseError, LlmUnavailableError
from service.generation.patience import Patience
from service.generation.refusal import refusal

_SOCKET_SCHEME = "unix://"
# A server on the same node or network answers a connection at once or not at all.
_CONNECT_TIMEOUT_S = 2.0
# vLLM ends idle connections after 5 s; ours go before, or a request would meet the end of one.
_KEEP_ALIVE_S = 3.0
# The longest reply is /tokenize's: the tokens of a whole context.
_MAX_REPLY_BYTES = 16 * 1024 * 1024
_MAX_METRICS_BYTES = 1024 * 1024  # ten times what a vLLM server has
_COMPLETIONS = "/v1/chat/completions"


class ChatClient:
    """Requests of one server, each bounded by a deadline. Leaving a method's block or cancelling it closes the reply.

    A closed connection is how vLLM learns that nobody waits: it frees the sequence. To be made on the event loop.

    Args:
        url: ``http(s)://host:port``, without /v1, or ``unix:///path``.
        key: bearer token.
    """

    def __init__(self, url: str, key: SecretStr | None) -> None:
        is_socket = url.startswith(_SOCKET_SCHEME)
        self._base = "http://localhost" if is_socket else url.rstrip("/")
        # Whoever asks has a slot, so that connections need no limit of their own.
        connector = (
            aiohttp.UnixConnector(url.removeprefix(_SOCKET_SCHEME), limit=0, keepalive_timeout=_KEEP_ALIVE_S)
            if is_socket
            else aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S)
        )
        authorization = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        self._http = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", **authorization},
            # All waits but the connection's end at the deadline.
            timeout=aiohttp.ClientTimeout(sock_connect=_CONNECT_TIMEOUT_S),
        )

    @asynccontextmanager
    async def streamed(
        self, body: Mapping[str, object], headers: Mapping[str, str], patience: Patience
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The reply to a streamed chat completion, its body still to be read.

        Raises:
            GenerationError: refused, not reached, or too late; also for aiohttp's errors inside the block.
        """
        async with self._replied("POST", _COMPLETIONS, patience, body, headers) as response:
            yield response

    async def canary(self, body: Mapping[str, object], deadline: Deadline) -> None:
        """One completion; what it says does not matter.

        Raises:
            GenerationError: there was none.
        """
        reply = await self._asked("POST", _COMPLETIONS, deadline, body)
        if not reply.get("choices"):
            raise LlmBadResponseError("the language model's reply to the canary has no choices")

    async def tokenize(self, body: Mapping[str, object], deadline: Deadline) -> Mapping[str, object]:
        """VLLM's ``count`` of tokens, ``max_model_len`` and ``tokens`` for ``messages``.

        Raises:
            GenerationError: as for every request.
        """
        return await self._asked("POST", "/tokenize", deadline, body)

    async def models(self, deadline: Deadline) -> Mapping[str, object]:
        """OpenAI's list of models; vLLM's cards have ``max_model_len``.

        Raises:
            GenerationError: as for every request.
        """
        return await self._asked("GET", "/v1/models", deadline)

    async def metrics(self, deadline: Deadline) -> str:
        """The exposition at vLLM's /metrics.

        Raises:
            GenerationError: as for every request.
        """
        return (await self._got("GET", "/metrics", deadline, most=_MAX_METRICS_BYTES)).decode(errors="replace")

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.close()

    async def _asked(
        self, method: str, path: str, deadline: Deadline, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        read = await self._got(method, path, deadline, body)
        try:
            reply = orjson.loads(read)
        except orjson.JSONDecodeError:
            raise LlmBadResponseError(f"the language model's reply to {path} is not JSON") from None
        if not isinstance(reply, dict):
            raise LlmBadResponseError(f"the language model's reply to {path} is not an object")
        return reply

    async def _got(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        body: Mapping[str, object] | None = None,
        most: int = _MAX_REPLY_BYTES,
    ) -> bytes:
        patience = Patience(deadline)
        patience.heard()  # there is no first text before the rest
        async with self._replied(method, path, patience, body) as response:
            return await _read(response, patience, most)

    @asynccontextmanager
    async def _replied(
        self,
        method: str,
        path: str,
        patience: Patience,
        body: Mapping[str, object] | None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        content = None if body is None else orjson.dumps(body)
        url = URL(f"{self._base}{path}")
        with _named():
            async with patience.applied():
                response = await self._http.request(method, url, data=content, headers=headers, allow_redirects=False)
            try:
                if response.status != HTTPStatus.OK:
                    raise refusal(response.status, await _read(response, patience), response.headers)
                yield response
            finally:
                response.release()  # closes the connection unless the body was read to its end


async def _read(response: aiohttp.ClientResponse, patience: Patience, most: int = _MAX_REPLY_BYTES) -> bytes:
    """The whole body.

    Raises:
        LlmBadResponseError: it is longer than ``most`` bytes.
    """
    read = bytearray()
    async with patience.applied():
        async for part in response.content.iter_any():
            read += part
            if len(read) > most:
                raise LlmBadResponseError(f"the language model's reply exceeds {most} bytes")
    return bytes(read)


@contextmanager
def _named() -> Iterator[None]:
    """Name aiohttp's failures."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise LlmUnavailableError(f"the language model took no connection in {_CONNECT_TIMEOUT_S:.0f} s") from error
    except aiohttp.ClientConnectorError as error:
        raise LlmUnavailableError(f"the language model cannot be reached: {error}") from error
    except (aiohttp.ClientError, OSError) as error:
        if isinstance(error.__cause__, ContentEncodingError):
            raise LlmBadResponseError(f"the language model's reply cannot be decoded: {error.__cause__}") from error
        said = str(error) or type(error).__name__
        raise LlmUnavailableError(f"the connection to the language model broke: {said}") from error
