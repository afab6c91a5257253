"""The one place where errors become replies: problem+json, readable by OpenAI's clients too."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from indexes import errors as indexes
from models.base import ModelError
from service import errors as service
from service.access.key import without_secrets
from service.api.methods import methods_of
from service.api.schemas.problem import Problem, ProblemError
from service.api.secure_headers import SECURE
from service.api.shown import shown
from service.ingest.jobs.work import Verdict
from service.telemetry.metrics import Metrics
from service.telemetry.timings import server_timing

MEDIA_TYPE = "application/problem+json"
_SHOWN_CHARACTERS = 100
_SHOWN_ERRORS = 8
_SHOWN_DETAIL = 300
_CLIENT_CLOSED_REQUEST = 499  # nginx's status for it; nobody is there to read the reply
_RETRY_S = 1.0

_log = logging.getLogger("quarry.api")


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the error table."""

    code: str
    status: int
    retryable: bool = False
    param: str | None = None


INVALID = Kind("invalid_request", 400)
INVALID_SCHEMA = Kind("invalid_request", 422)
NOT_FOUND = Kind("not_found", 404)
INTERNAL = Kind("internal_error", 500)
_STORE_DOWN = Kind("vector_store_unavailable", 503, retryable=True)

# The first row whose type matches counts, so a subclass stands before its base.
TABLE: tuple[tuple[type[Exception], Kind], ...] = (
    (indexes.CollectionNotFoundError, NOT_FOUND),
    (indexes.AliasNotFoundError, NOT_FOUND),
    (indexes.DocumentNotFoundError, NOT_FOUND),
    (indexes.CollectionConflictError, Kind("conflict", 409)),
    (indexes.BackupConflictError, Kind("conflict", 409)),
    (indexes.InvalidNameError, INVALID),
    (indexes.InvalidFilterError, Kind("invalid_request", 422, param="filters")),
    (indexes.NothingSealedError, Kind("conflict", 409)),
    (indexes.InsufficientMemoryError, Kind("insufficient_memory", 503, retryable=True)),
    (indexes.RowTooLargeError, Kind("payload_too_large", 413)),
    (indexes.IndexesError, _STORE_DOWN),
    (service.UnauthenticatedError, Kind("unauthenticated", 401)),
    (service.ForbiddenError, Kind("forbidden", 403)),
    (service.RateLimitedError, Kind("rate_limited", 429, retryable=True)),
    (service.KeyNotFoundError, NOT_FOUND),
    (service.QueriesOnlyError, Kind("replica_queries_only", 503, retryable=True)),
    (service.LlmServerNotFoundError, NOT_FOUND),
    (service.KeyConflictError, Kind("conflict", 409)),
    (service.KeysUnavailableError, Kind("keys_unavailable", 503, retryable=True)),
    (service.EmptyDocumentError, Kind("empty_document", 400)),
    (service.ContentBlockedError, Kind("content_blocked", 400)),
    (service.InvalidRequestError, INVALID),
    (service.UnknownHostError, Kind("misdirected_request", 421)),
    (service.ForeignPageError, Kind("forbidden", 403)),
    (service.UnsupportedMediaTypeError, Kind("unsupported_media_type", 415)),
    (service.UnreadableDocumentError, INVALID_SCHEMA),
    (service.DocumentTooLargeError, Kind("payload_too_large", 413)),
    (service.ParserUnavailableError, Kind("parser_unavailable", 503, retryable=True)),
    (service.JobNotFoundError, NOT_FOUND),
    (service.JobCancelledError, Kind("conflict", 409)),
    (service.JobInputError, Kind("job_input_damaged", 422)),
    (service.ModelNotServedError, NOT_FOUND),
    (service.TooManyInputsError, Kind("payload_too_large", 413)),
    (service.OverloadedError, Kind("overloaded", 503, retryable=True)),
    (service.EmbedderUnavailableError, Kind("embedder_unavailable", 503, retryable=True)),
    (ModelError, Kind("embedder_unavailable", 503, retryable=True)),
    (service.RerankerMissingError, INVALID_SCHEMA),
    (service.RerankerUnavailableError, Kind("reranker_unavailable", 503, retryable=True)),
    (service.LexicalUnavailableError, Kind("lexical_unavailable", 503, retryable=True)),
    (service.DeadlineExceededError, Kind("deadline_exceeded", 504)),
    (service.LlmTimeoutError, Kind("llm_timeout", 504)),
    (service.LlmBadResponseError, Kind("llm_bad_response", 502)),
    (service.QuestionTooLongError, Kind("context_length_exceeded", 400)),
    (service.GenerationError, Kind("llm_unavailable", 503, retryable=True)),
    (Exception, INTERNAL),
)

_HTTP_CODES = {
    404: NOT_FOUND,
    405: Kind("method_not_allowed", 405),
    408: Kind("request_timeout", 408, retryable=True),
    413: Kind("payload_too_large", 413),
    415: Kind("unsupported_media_type", 415),
}

KINDS = frozenset({*(kind for _, kind in TABLE), *_HTTP_CODES.values(), INVALID_SCHEMA})
"""Every problem that a reply can be."""


def kind_of(error: Exception) -> Kind:
    """The row of the table for an error."""
    return kind_of_type(type(error))


def kind_of_type(error: type[Exception]) -> Kind:
    """The row of the table for errors of a type."""
    return next(kind for type_, kind in TABLE if issubclass(error, type_))


def problem_headers(status: int, *, retryable: bool, after_s: float) -> dict[str, str]:
    """What the reply to a problem says about asking again, to clients of any kind and to OpenAI's."""
    if status == HTTPStatus.UNAUTHORIZED:
        return {"WWW-Authenticate": 'Bearer realm="quarry"'}
    if retryable:
        return {"Retry-After": str(math.ceil(after_s)), "retry-after-ms": str(math.ceil(after_s * 1000))}
    if status in {HTTPStatus.CONFLICT, HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}:
        return {"x-should-retry": "false"}
    return {}


def verdict_on(error: Exception) -> Verdict:
    """What a job says of an error that it met. What an unforeseen one says stays in the log."""
    kind = kind_of(error)
    if kind is INTERNAL:
        _log.error("unforeseen error in a job", exc_info=error)
        return Verdict(kind.code, "the server failed in a way it did not foresee; its log says more", is_passing=False)
    return Verdict(kind.code, without_secrets(str(error)), kind.retryable)


def problem(request: Request, kind: Kind, detail: str, error: Exception | None = None) -> dict[str, Any]:
    """The body for an error, for a reply or an event of a stream."""
    param = getattr(error, "param", kind.param)
    said = without_secrets(detail)
    type_ = "invalid_request_error" if kind.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    return Problem(
        type=f"urn:quarry:problem:{kind.code}",
        title=HTTPStatus(kind.status).phrase,
        status=kind.status,
        detail=said,
        instance=without_secrets(request.url.path),
        request_id=request.state.request_id,
        stage=getattr(error, "stage", None),
        retryable=kind.retryable,
        timings_ms=request.state.timings.milliseconds(),
        error=ProblemError(message=said, type=type_, param=param and without_secrets(param), code=kind.code),
    ).model_dump()


def describe(request: Request, error: Exception) -> dict[str, Any]:
    """The body for an error of the table. What an unforeseen one says stays in the log."""
    kind = kind_of(error)
    if kind is INTERNAL:
        _log.error("unforeseen error", exc_info=error, extra={"request_id": request.state.request_id})
        return problem(request, kind, "the server failed in a way it did not foresee; its log has the request id")
    return problem(request, kind, str(error), error)


def response(request: Request, error: service.QuarryError) -> Response:
    """The reply to an error that arises outside of the routes, where ``install`` does not reach."""
    return _response(describe(request, error), getattr(error, "retry_after_s", _RETRY_S), {})


def install(app: FastAPI, metrics: Metrics) -> None:
    """Answer every exception of ``app`` with problem+json, and count it."""

    async def on_error(request: Request, error: Exception) -> Response:
        return reply(describe(request, error), retry_after_s=getattr(error, "retry_after_s", _RETRY_S))

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101  registered for this type
        return reply(_invalid(request, error.errors()))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  registered for this type
        kind = _HTTP_CODES.get(error.status_code, Kind("invalid_request", error.status_code))
        headers = {"Allow": ", ".join(methods_of(request))} if kind.status == HTTPStatus.METHOD_NOT_ALLOWED else {}
        return reply(problem(request, kind, _http_detail(request, error)), headers=headers or error.headers)

    async def on_hang_up(request: Request, error: Exception) -> Response:
        return Response(status_code=_CLIENT_CLOSED_REQUEST)

    def reply(
        body: dict[str, Any], retry_after_s: float = _RETRY_S, headers: Mapping[str, str] | None = None
    ) -> Response:
        metrics.problems.labels(body["error"]["code"]).inc()
        return _response(body, retry_after_s, headers or {})

    for kind in KINDS:  # a rate needs the zero before the first
        metrics.problems.labels(kind.code)
    for type_, _ in TABLE:
        app.add_exception_handler(type_, on_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(ClientDisconnect, on_hang_up)


def validation_detail(errors: Sequence[Any]) -> str:
    """Each wrong field with its rule and the value it had."""
    said = [f"{_location(item)}: {_rule(item)}{_shown(item)}" for item in errors[:_SHOWN_ERRORS]]
    more = [f"and {len(errors) - _SHOWN_ERRORS} more"] if len(errors) > _SHOWN_ERRORS else []
    return "; ".join(said + more)


def _response(body: dict[str, Any], retry_after_s: float, headers: Mapping[str, str]) -> Response:
    # What nothing foresaw is answered outside of the middlewares that set these headers on all other replies.
    timing = server_timing(body["timings_ms"])
    extra = {"x-request-id": body["request_id"], "Server-Timing": timing, **SECURE, **headers}
    extra |= problem_headers(body["status"], retryable=body["retryable"], after_s=retry_after_s)
    return Response(orjson.dumps(body), body["status"], extra, MEDIA_TYPE)


def _invalid(request: Request, errors: Sequence[Any]) -> dict[str, Any]:
    first = errors[0]
    if first["type"] == "json_invalid":
        where = f" at position {first['loc'][-1]}" if first["loc"] else ""
        return problem(request, INVALID, f"the body is not JSON: {first.get('ctx', {}).get('error', '')}{where}")
    body = problem(request, INVALID_SCHEMA, validation_detail(errors))
    body["error"]["param"] = without_secrets(_location(first))
    return body


def _location(item: Mapping[str, Any]) -> str:
    """A field's path without the word ``body``, which stands for the whole alone."""
    path = [str(part) for part in item["loc"]] or ["body"]
    return ".".join(path[1:] if path[0] in {"body", "query"} and len(path) > 1 else path)


def _rule(item: Mapping[str, Any]) -> str:
    """Pydantic's words without those of its own world."""
    if item["type"] in {"model_type", "model_attributes_type", "dict_type"}:
        return "Input should be an object"
    return str(item["msg"]).removeprefix("Value error, ")


def _shown(item: Mapping[str, Any]) -> str:
    if item["type"] == "missing" or "input" not in item:
        return ""
    return f"; got {shown(item['input'], _SHOWN_CHARACTERS)}".encode(errors="replace").decode()


def _http_detail(request: Request, error: HTTPException) -> str:
    match error.status_code:
        case 404:
            return f"there is no {request.url.path!r} here"
        case 405:
            return f"{request.method} is not allowed on {request.url.path!r}"
    cause = error.__cause__
    if isinstance(cause, UnicodeDecodeError):
        return f"the body is not UTF-8: byte 0x{cause.object[cause.start]:02x} at offset {cause.start}"
    if isinstance(cause, RecursionError | ValueError):
        return f"the body cannot be parsed as JSON: {cause}"[:_SHOWN_DETAIL]
    return str(error.detail)
