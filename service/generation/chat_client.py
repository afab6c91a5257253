"""ChatClient: requests of a server that speaks OpenAI's protocol, over TCP or a Unix socket."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

import httpx
import orjson
from pydantic import SecretStr

from service.budget import Deadline
from service.errors import LlmBadResponseError, LlmTimeoutError, LlmUnavailableError
from service.generation.patience import Patience
from service.generation.refusal import refusal

_SOCKET_SCHEME = "unix://"
# A server on the same node or network answers a connection at once or not at all.
_CONNECT_TIMEOUT_S = 2.0
# vLLM ends idle connections after 5 s; ours go before, or a request would meet the end of one.
_KEEP_ALIVE_S = 3.0
# The longest reply is /tokenize's: the tokens of a whole context.
_MAX_REPLY_BYTES = 16 * 1024 * 1024
_COMPLETIONS = "/v1/chat/completions"


class ChatClient:
    """Requests of one server, each bounded by a deadline. Leaving a method's block or cancelling it closes the reply.

    A closed connection is how vLLM learns that nobody waits: it frees the sequence.

    Args:
        url: ``http(s)://host:port``, without /v1, or ``unix:///path``.
        key: bearer token.
        kept: idle connections that are kept for the next requests.
    """

    def __init__(self, url: str, key: SecretStr | None, kept: int) -> None:
        on_socket = url.startswith(_SOCKET_SCHEME)
        # Whoever asks has a slot, so that connections need no limit of their own.
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=kept, keepalive_expiry=_KEEP_ALIVE_S)
        uds = url.removeprefix(_SOCKET_SCHEME) if on_socket else None
        self._client = httpx.AsyncClient(
            base_url="http://localhost" if on_socket else url.rstrip("/"),
            transport=httpx.AsyncHTTPTransport(uds=uds, limits=limits, trust_env=False),
            headers={"Authorization": f"Bearer {key.get_secret_value()}"} if key else {},
            # All waits but the connection's end at the deadline.
            timeout=httpx.Timeout(None, connect=_CONNECT_TIMEOUT_S),
            trust_env=False,
        )

    @asynccontextmanager
    async def streamed(
        self, body: Mapping[str, object], headers: Mapping[str, str], patience: Patience
    ) -> AsyncIterator[httpx.Response]:
        """The reply to a streamed chat completion, its body still to be read.

        Raises:
            GenerationError: refused, not reached, or too late; also for httpx's errors inside the block.
        """
        sent = self._client.build_request("POST", _COMPLETIONS, content=orjson.dumps(body), headers=_json(headers))
        async with self._replied(sent, patience) as response:
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

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _asked(
        self, method: str, path: str, deadline: Deadline, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        content = None if body is None else orjson.dumps(body)
        sent = self._client.build_request(method, path, content=content, headers=_json({}))
        patience = Patience(deadline)
        patience.heard()  # there is no first text before the rest
        async with self._replied(sent, patience) as response:
            read = await _read(response, patience)
        try:
            reply = orjson.loads(read)
        except orjson.JSONDecodeError:
            raise LlmBadResponseError(f"the language model's reply to {path} is not JSON") from None
        if not isinstance(reply, dict):
            raise LlmBadResponseError(f"the language model's reply to {path} is not an object")
        return reply

    @asynccontextmanager
    async def _replied(self, sent: httpx.Request, patience: Patience) -> AsyncIterator[httpx.Response]:
        with _named():
            async with patience.applied():
                response = await self._client.send(sent, stream=True)
            async with aclosing(response):
                if response.status_code != httpx.codes.OK:
                    raise refusal(response.status_code, await _read(response, patience), response.headers)
                yield response


def _json(headers: Mapping[str, str]) -> dict[str, str]:
    return {"Content-Type": "application/json", **headers}


async def _read(response: httpx.Response, patience: Patience) -> bytes:
    """The whole body.

    Raises:
        LlmBadResponseError: it is longer than any that makes sense.
    """
    read = bytearray()
    async with patience.applied():
        async for part in response.aiter_bytes():
            read += part
            if len(read) > _MAX_REPLY_BYTES:
                raise LlmBadResponseError(f"the language model's reply exceeds {_MAX_REPLY_BYTES} bytes")
    return bytes(read)


@contextmanager
def _named() -> Iterator[None]:
    """Name httpx's failures."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        raise LlmUnavailableError(f"the language model took no connection in {_CONNECT_TIMEOUT_S:.0f} s") from error
    except httpx.TimeoutException as error:
        raise LlmTimeoutError(f"the language model sent nothing for too long ({type(error).__name__})") from error
    except httpx.DecodingError as error:
        raise LlmBadResponseError(f"the language model's reply cannot be decoded: {error}") from error
    except httpx.ConnectError as error:
        raise LlmUnavailableError(f"the language model cannot be reached: {error}") from error
    except httpx.TransportError as error:
        said = str(error) or type(error).__name__
        raise LlmUnavailableError(f"the connection to the language model broke: {said}") from error
