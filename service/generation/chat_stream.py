"""A chat completion's server-sent events, as pieces of text."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from service.errors import GenerationError, LlmBadResponseError
from service.generation.patience import Patience
from service.generation.refusal import failure_in_stream

_MAX_LINE_BYTES = 1024 * 1024
_RUN_OUT_S = 0.05
_MODEL_CHARACTERS = 200
_MEDIA_TYPE = "text/event-stream"
_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
# Where servers put what a model thinks: vLLM's name since 0.12, and DeepSeek's, which most others have.
_THOUGHTS = ("reasoning", "reasoning_content")
# vLLM's names in ``metrics`` of the usage chunk, which ``--enable-per-request-metrics`` adds, and ours: milliseconds in
# its queue, from there to the first token, from that to the last, and between two tokens on average.
_TIMINGS = {
    "queue_time_ms": "queue",
    "time_to_first_token_ms": "first_token",
    "generation_time_ms": "generation",
    "mean_itl_ms": "inter_token",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """What one event of the stream brings.

    Attributes:
        is_thought: the model thinks aloud, which is no part of its answer.
        finish: OpenAI's ``finish_reason``, once there is one.
        usage: tokens by name, in the last piece; ``cached_tokens`` are the prompt's that the server had in its cache.
        timings: the server's own milliseconds, in the last piece.
        model: that writes, as the server calls it.
    """

    text: str = ""
    finish: str | None = None
    usage: Mapping[str, int] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    is_thought: bool = False
    model: str = ""

    @property
    def is_sign(self) -> bool:
        """The model itself said something."""
        return bool(self.text) or self.is_thought

    def followed_by(self, other: "Piece") -> "Piece":
        """What is known after both, the text aside."""
        return Piece(
            finish=other.finish or self.finish,
            usage=other.usage or self.usage,
            timings=other.timings or self.timings,
            model=other.model or self.model,
        )


async def pieces(response: aiohttp.ClientResponse, patience: Patience) -> AsyncGenerator[Piece, None]:
    """The pieces of a streamed chat completion, each waited for as long as ``patience`` lasts.

    Raises:
        LlmTimeoutError: the time is up.
        LlmBadResponseError: not OpenAI's protocol, an error object, or an end without [DONE]. vLLM sends [DONE] after
            an error too, so [DONE] alone proves nothing.
    """
    media_type = response.headers.get("content-type", "")
    if not media_type.startswith(_MEDIA_TYPE):
        raise LlmBadResponseError(f"the language model's stream is {media_type[:100]!r}, not {_MEDIA_TYPE}")
    async with aclosing(_lines(response, patience)) as lines:
        async for line in lines:
            if not line.startswith("data:"):
                continue
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                await _run_out(lines)
                return
            yield _piece(_object(data))
    raise LlmBadResponseError("the language model's stream broke off before its end")


async def _run_out(lines: AsyncIterator[str]) -> None:
    """Read the body's end, so that the connection can be used again; a server that does not end it loses it."""
    with suppress(TimeoutError, GenerationError, aiohttp.ClientError):
        async with asyncio.timeout(_RUN_OUT_S):
            async for _ in lines:
                pass


async def _lines(response: aiohttp.ClientResponse, patience: Patience) -> AsyncGenerator[str, None]:
    """The lines of a body. They end in line feeds only: JSON strings may hold Unicode's other line breaks.

    Raises:
        LlmBadResponseError: a line without an end, or not in UTF-8.
    """
    held = bytearray()
    while True:
        async with patience.applied():
            part = await response.content.readany()
        held += part or b"\n"
        if len(held) > _MAX_LINE_BYTES and b"\n" not in held:
            raise LlmBadResponseError(f"a line of the language model's stream exceeds {_MAX_LINE_BYTES} bytes")
        # Only the new part can hold a line's end, so that a stream of single bytes costs no search of all before it.
        if b"\n" in (part or b"\n"):
            *lines, held = held.split(b"\n")
            for line in lines:
                yield _decoded(line)
        if not part:
            return


def _decoded(line: bytearray) -> str:
    try:
        return line.decode().rstrip("\r")
    except UnicodeDecodeError:
        raise LlmBadResponseError("the language model's stream is not UTF-8") from None


def _object(data: str) -> dict[str, Any]:
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise LlmBadResponseError("the language model's stream holds something that is not JSON") from None
    if not isinstance(chunk, dict):
        raise LlmBadResponseError("the language model's stream holds something that is not an object")
    if "error" in chunk:
        raise failure_in_stream(chunk)
    return chunk


def _piece(chunk: dict[str, Any]) -> Piece:
    text, finish, is_thought = _choice(chunk)
    model = chunk.get("model")
    said = model[:_MODEL_CHARACTERS] if isinstance(model, str) else ""
    return Piece(text, finish, _usage(chunk.get("usage")), _timings(chunk.get("metrics")), is_thought, said)


def _choice(chunk: dict[str, Any]) -> tuple[str, str | None, bool]:
    """Text, finish reason and whether there is a thought, of a chunk; the usage chunk has no choices."""
    choices = chunk.get("choices")
    if not choices:
        return "", None, False
    try:
        delta, finish = choices[0]["delta"], choices[0].get("finish_reason")
        text, is_thought = delta.get("content") or "", any(delta.get(name) for name in _THOUGHTS)
    except (KeyError, TypeError, AttributeError, IndexError):
        raise LlmBadResponseError("a chunk of the language model's stream has no delta") from None
    if not isinstance(text, str) or not isinstance(finish, str | None):
        raise LlmBadResponseError("a chunk of the language model's stream has a delta that is not text")
    return text, finish, is_thought


def _usage(usage: object) -> dict[str, int]:
    if not isinstance(usage, dict):
        return {}
    details = usage.get("prompt_tokens_details")
    cached = {"cached_tokens": details.get("cached_tokens")} if isinstance(details, dict) else {}
    counts = {name: usage.get(name) for name in _COUNTS} | cached
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def _timings(metrics: object) -> dict[str, float]:
    if not isinstance(metrics, dict):
        return {}
    timings = {ours: metrics.get(theirs) for theirs, ours in _TIMINGS.items()}
    return {name: float(value) for name, value in timings.items() if isinstance(value, int | float)}
