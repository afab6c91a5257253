"""OpenAIGenerator: any server that speaks OpenAI's chat protocol, vLLM first, over TCP or a Unix socket."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import orjson

from service.budget import Deadline
from service.errors import GenerationError, LlmBadResponseError, LlmTimeoutError, LlmUnavailableError
from service.generation.abstention import Abstention
from service.generation.base import Event, Expectation, Finished, GenerationRequest, LlmCall, Turn
from service.generation.citations import CitationParser
from service.generation.fitting import Fitted, fit
from service.generation.tokens import TokenEstimate
from service.llm_settings import LlmSettings

_CONNECT_TIMEOUT_S = 2.0
_MAX_ERROR_CHARACTERS = 200
_MAX_LINE_BYTES = 1024 * 1024
_SOCKET_SCHEME = "unix://"


class OpenAIGenerator:
    """Streams one chat completion an answer."""

    def __init__(self, settings: LlmSettings, url: str) -> None:
        self._settings = settings
        self._url = url
        self._state = "ready"
        on_socket = url.startswith(_SOCKET_SCHEME)
        headers = {"Authorization": f"Bearer {settings.key.get_secret_value()}"} if settings.key else {}
        self._client = httpx.AsyncClient(
            base_url="http://localhost" if on_socket else url.rstrip("/"),
            transport=httpx.AsyncHTTPTransport(uds=url.removeprefix(_SOCKET_SCHEME)) if on_socket else None,
            headers=headers,
            trust_env=False,
        )

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events; citations are whole passages."""
        fitted = await fit(request, self._settings.context, TokenEstimate())
        parser = CitationParser({passage.number: passage for passage in fitted.passages})
        abstention, said_something = Abstention(), False
        finish: str | None = None
        usage: object = {}
        async with self._failures(), self._stream(request, fitted) as lines:
            async for chunk in _chunks(lines):
                usage = chunk.get("usage") or usage
                text, finish_now = _choice(chunk)
                finish = finish_now or finish
                said_something = said_something or bool(text.strip())
                for event in parser.feed(abstention.feed(text)):
                    yield event
            if not said_something:
                raise LlmBadResponseError("the language model wrote nothing")
        for event in [*parser.feed(abstention.flush()), *parser.flush()]:
            yield event
        yield Finished(finish or "stop", abstention.abstained, _counts(usage), parser.invalid, fitted.left_out)

    @property
    def trouble(self) -> str | None:
        """None: every question is sent."""
        return None

    def expect(self) -> Expectation | None:
        """Nothing is kept of the answers so far."""
        return None

    async def standalone(self, question: str, turns: Sequence[Turn], call: LlmCall) -> str:
        """The question as it is."""
        return question

    async def start(self) -> None:
        """Nothing to watch."""

    def describe(self) -> dict[str, object]:
        """Kind, model and what the last request met."""
        return {"kind": "openai", "url": self._url, "model": self._settings.model, "state": self._state}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def _failures(self) -> AsyncIterator[None]:
        """Name httpx's failures, and keep the last outcome for the status page."""
        try:
            try:
                yield
            except httpx.TimeoutException as error:
                raise LlmTimeoutError(
                    f"the language model sent nothing for too long ({type(error).__name__})"
                ) from error
            except httpx.DecodingError as error:
                raise LlmBadResponseError(f"the language model's reply cannot be decoded: {error}") from error
            except httpx.TransportError as error:
                raise LlmUnavailableError(f"the language model cannot be reached: {error}") from error
        except GenerationError as error:
            self._state = str(error)
            raise
        self._state = "ready"

    @asynccontextmanager
    async def _stream(self, request: GenerationRequest, fitted: Fitted) -> AsyncIterator[AsyncIterator[str]]:
        body: dict[str, Any] = {
            "model": self._settings.model,
            "messages": fitted.messages,
            "max_tokens": fitted.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.temperature is not None:
            body["temperature"] = request.temperature
        remaining = request.call.deadline.remaining()
        timeout = httpx.Timeout(remaining, connect=min(_CONNECT_TIMEOUT_S, remaining))
        sent = self._client.build_request("POST", "/v1/chat/completions", json=body, timeout=timeout)
        async with _in_time(request.call.deadline):
            response = await self._client.send(sent, stream=True)
        async with aclosing(response):
            if response.status_code != httpx.codes.OK:
                async with _in_time(request.call.deadline):
                    await response.aread()
                raise _refusal(response)
            yield _lines(response, request.call.deadline)


@asynccontextmanager
async def _in_time(deadline: Deadline) -> AsyncIterator[None]:
    """Cancel the block when the time is up. It must not yield to a consumer: that one would be cancelled instead."""
    try:
        async with asyncio.timeout(deadline.remaining()):
            yield
    except TimeoutError as error:
        raise LlmTimeoutError(f"no complete answer within {deadline.budget_s:.1f} s") from error


async def _lines(response: httpx.Response, deadline: Deadline) -> AsyncIterator[str]:
    """The lines of a body, each piece of it waited for until the deadline.

    Lines end in line feeds only: JSON strings may hold Unicode's other line breaks.

    Raises:
        LlmBadResponseError: a line without an end, or not in UTF-8.
    """
    pieces, held = response.aiter_bytes(), b""
    while True:
        async with _in_time(deadline):
            piece = await anext(pieces, None)
        *lines, held = (held + (piece or b"\n")).split(b"\n")
        if len(held) > _MAX_LINE_BYTES:
            raise LlmBadResponseError(f"a line of the language model's stream exceeds {_MAX_LINE_BYTES} bytes")
        for line in lines:
            try:
                yield line.decode().rstrip("\r")
            except UnicodeDecodeError:
                raise LlmBadResponseError("the language model's stream is not UTF-8") from None
        if piece is None:
            return


async def _chunks(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a chat completion stream.

    Raises:
        LlmBadResponseError: not JSON, an error object, or an end without [DONE]. vLLM sends [DONE] after an error too,
            so [DONE] alone proves nothing.
    """
    async for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise LlmBadResponseError("the language model's stream holds something that is not JSON") from None
        if not isinstance(chunk, dict):
            raise LlmBadResponseError("the language model's stream holds something that is not an object")
        if "error" in chunk:
            raise LlmBadResponseError(f"the language model failed in mid-stream: {_message(chunk)}")
        yield chunk
    raise LlmBadResponseError("the language model's stream broke off before its end")


def _choice(chunk: dict[str, Any]) -> tuple[str, str | None]:
    """Text and finish reason of a chunk; the usage chunk has no choices."""
    choices = chunk.get("choices")
    if not choices:
        return "", None
    try:
        text, finish = choices[0]["delta"].get("content") or "", choices[0].get("finish_reason")
    except (KeyError, TypeError, AttributeError, IndexError):
        raise LlmBadResponseError("a chunk of the language model's stream has no delta") from None
    if not isinstance(text, str) or not isinstance(finish, str | None):
        raise LlmBadResponseError("a chunk of the language model's stream has a delta that is not text")
    return text, finish


def _counts(usage: object) -> dict[str, int]:
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    if not isinstance(usage, dict):
        return {}
    return {name: int(usage[name]) for name in names if isinstance(usage.get(name), int)}


def _refusal(response: httpx.Response) -> GenerationError:
    try:
        said = _message(response.json())
    except ValueError:
        said = response.text[:_MAX_ERROR_CHARACTERS]
    message = f"the language model replied {response.status_code}: {said}"
    busy = response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error
    return LlmUnavailableError(message) if busy else LlmBadResponseError(message)


def _message(body: object) -> str:
    """The message of an OpenAI-shaped error body."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return str(message)[:_MAX_ERROR_CHARACTERS]
