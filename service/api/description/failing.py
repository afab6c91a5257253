"""What a route can fail with: declared by error, told by status and code as the error table has them."""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from indexes.errors import CollectionConflictError, CollectionNotFoundError, InvalidFilterError, StoreUnavailableError
from service.api.problems import KINDS, MEDIA_TYPE, Kind, kind_of_type, problem_headers
from service.errors import (
    ContentBlockedError,
    DeadlineExceededError,
    EmbedderUnavailableError,
    InvalidRequestError,
    LexicalUnavailableError,
    LlmBadResponseError,
    LlmTimeoutError,
    LlmUnavailableError,
    OverloadedError,
    QuestionTooLongError,
    RerankerMissingError,
    RerankerUnavailableError,
)

# Under this key an operation holds its codes by status until the document is put together.
CODES = "x-codes"

Errors = tuple[type[Exception], ...]

READING: Errors = (CollectionNotFoundError, StoreUnavailableError)
"""What whoever looks at a collection may meet."""

SEARCHING: Errors = (
    *READING,
    CollectionConflictError,
    InvalidFilterError,
    InvalidRequestError,
    ContentBlockedError,
    OverloadedError,
    EmbedderUnavailableError,
    LexicalUnavailableError,
    RerankerMissingError,
    RerankerUnavailableError,
    DeadlineExceededError,
)
"""What whoever searches a collection may meet."""

ANSWERING: Errors = (*SEARCHING, LlmUnavailableError, LlmTimeoutError, LlmBadResponseError, QuestionTooLongError)
"""What whoever has a question answered may meet."""

_DETAILS = {
    "invalid_request": "top_k: Input should be less than or equal to 1000; got 1001",
    "unauthenticated": "this server asks for a key: Authorization: Bearer quarry.<id>.<secret>",
    "forbidden": "this key may not use a collection of the name 'docs'",
    "rate_limited": "the key 5f0c6a7e0d3b4f0f has used up its 60 requests a minute; try again in 12.345 s",
    "content_blocked": "query is refused by the content rule 'card' of this server",
    "not_found": "there is no collection 'docs'",
    "conflict": "collection 'docs' exists with another identity: metric is 'cosine', not 'l2'",
    "replica_queries_only": "this server is a replica, which answers queries only: PUT /v1/collections/docs is for the "
    "writer",
    "request_timeout": "1024 bytes of the body have come; the limit is 30 s without a byte",
    "misdirected_request": "'rebound.example' is no name of this server",
    "payload_too_large": "the body is larger than the limit of 33554432 bytes (server.max_body_bytes)",
    "unsupported_media_type": "content type 'text/plain' is not read here; application/json is",
    "empty_document": "document 'memo-1' has no text",
    "lexical_unavailable": "the words of collection 'docs' cannot be looked for: their index is 'building'",
    "reranker_unavailable": "the hits cannot be reranked: the forward failed: RuntimeError: ...",
    "deadline_exceeded": "the deadline of 50 ms passed in stage 'embed'",
    "internal_error": "the server failed in a way it did not foresee; its log has the request id",
}


def fails_with(*errors: type[Exception], **operation: Any) -> dict[str, Any]:  # noqa: ANN401  parts of OpenAPI
    """The ``openapi_extra`` of a route.

    Args:
        errors: that it raises itself, whose codes and statuses the error table has. What every route can fail with,
            and what bodies and paths bring about, is not among them.
        operation: parts of the operation in OpenAPI's words, beside what its signature says.

    Raises:
        LookupError: an error has no row of its own in the table.
    """
    codes: dict[str, list[str]] = {}
    for error in errors:
        kind = kind_of_type(error)
        if kind.code == "internal_error":
            raise LookupError(f"{error.__name__} has no row in the error table of service/api/problems.py")
        codes.setdefault(str(kind.status), []).append(kind.code)
    return {CODES: codes, **operation}


def responses_of(codes: Mapping[str, Iterable[str]]) -> dict[str, Any]:
    """The Response Objects for codes by status."""
    return {status: _response(int(status), sorted(set(codes[status]))) for status in sorted(codes)}


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    kinds = [next(kind for kind in KINDS if (kind.status, kind.code) == (status, code)) for code in codes]
    narrowed = {"status": {"const": status}, "error": {"properties": {"code": {"enum": codes}}}}
    return {
        "description": f"{HTTPStatus(status).phrase}: {', '.join(f'`{code}`' for code in codes)}.",
        "headers": _headers(kinds),
        "content": {
            MEDIA_TYPE: {
                "schema": {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": narrowed}]},
                "examples": {kind.code: {"value": _example(kind)} for kind in kinds},
            }
        },
    }


def _headers(kinds: Iterable[Kind]) -> dict[str, Any]:
    """References to the headers that the replies of all ``kinds`` have."""
    names = [set(problem_headers(kind.status, retryable=kind.retryable, after_s=1)) for kind in kinds]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(set.intersection(*names))}


def _example(kind: Kind) -> dict[str, Any]:
    detail = _DETAILS.get(kind.code, HTTPStatus(kind.status).description or HTTPStatus(kind.status).phrase)
    type_ = "invalid_request_error" if kind.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    return {
        "type": f"urn:quarry:problem:{kind.code}",
        "title": HTTPStatus(kind.status).phrase,
        "status": kind.status,
        "detail": detail,
        "instance": "/v1/collections/docs",
        "request_id": "5f0c6a7e0d3b4f0f9a53a7a7c1b6a4de",
        "stage": None,
        "retryable": kind.retryable,
        "timings_ms": {"other": 0.4, "total": 0.4},
        "error": {"message": detail, "type": type_, "param": kind.param, "code": kind.code},
    }
