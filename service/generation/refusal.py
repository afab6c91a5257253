"""What a model server says when it refuses, as a typed error."""

import re
from collections.abc import Mapping
from http import HTTPStatus

import orjson

from service.errors import (
    GenerationError,
    LlmBadResponseError,
    LlmConfigurationError,
    LlmOverloadedError,
    LlmRefusedError,
    LlmUnavailableError,
    PromptTooLongError,
)

_MAX_CHARACTERS = 200
_CONFIGURED_WRONGLY = {
    401: "check the key in its settings",
    403: "check the key in its settings",
    404: "check the url and the model in its settings",
}
_RETRY_S = 1.0
_MAX_RETRY_S = 60.0
# vLLM's and OpenAI's words for it, and vLLM's when the answer alone is longer than the context, or when the prompt
# fills it to the last token: no request of ours asks for an answer of none.
_TOO_LONG = re.compile(
    r"maximum context length|max_model_len|context_length_exceeded|max_tokens must be at least 1", re.IGNORECASE
)
_CONTEXT = re.compile(r"(?:maximum context length(?: is)?|max_model_len)\s*[=(]?\s*(\d{1,9})", re.IGNORECASE)


def refusal(status: int, body: bytes, headers: Mapping[str, str]) -> GenerationError:
    """The error for a reply that is not a 200.

    A 503 is a full queue: vLLM answers so, without Retry-After, and a dead engine with 500. Other 5xx and 429 say that
    it cannot work now; 401, 403 and 404 that the configuration is at fault, and other 4xx that this request is; a
    redirect leads nowhere, as nobody follows it.
    """
    said = _said(body)
    error = _refusal(status, said, f"the language model replied {status}: {said[:_MAX_CHARACTERS]}", headers)
    error.said = said[:_MAX_CHARACTERS]
    return error


def _refusal(status: int, said: str, message: str, headers: Mapping[str, str]) -> GenerationError:
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return LlmOverloadedError(message, _retry_after_s(headers))
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return LlmUnavailableError(message)
    if status == HTTPStatus.BAD_REQUEST and _TOO_LONG.search(said):
        return PromptTooLongError(message, _context(said))
    if status in _CONFIGURED_WRONGLY:
        return LlmConfigurationError(f"{message}; {_CONFIGURED_WRONGLY[status]}", status)
    if status >= HTTPStatus.BAD_REQUEST:
        return LlmRefusedError(message)
    return LlmBadResponseError(message)


def failure_in_stream(chunk: Mapping[str, object]) -> GenerationError:
    """The error for an ``error`` object inside a stream; its ``code`` is a status where the server has one."""
    error = chunk.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    said = message_of(chunk)[:_MAX_CHARACTERS]
    message = f"the language model failed in mid-stream: {said}"
    own_fault = isinstance(code, int) and HTTPStatus.BAD_REQUEST <= code < HTTPStatus.INTERNAL_SERVER_ERROR
    failure = LlmRefusedError(message) if own_fault else LlmBadResponseError(message)
    failure.said = said
    return failure


def message_of(body: object) -> str:
    """The message of an OpenAI-shaped error body, or of whatever there is."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return str(message)


def _said(body: bytes) -> str:
    try:
        return message_of(orjson.loads(body))
    except orjson.JSONDecodeError:
        return body.decode(errors="replace")


def _context(said: str) -> int | None:
    found = _CONTEXT.search(said)
    return int(found[1]) if found else None


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds; the header may also be a date, which is not worth reading here."""
    given = headers.get("retry-after", "")
    return min(float(given), _MAX_RETRY_S) if given.isdecimal() else _RETRY_S
