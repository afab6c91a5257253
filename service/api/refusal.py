"""Refusals: replies of a connection on which there is no request that could be answered."""

import uuid
from dataclasses import dataclass
from http import HTTPStatus

import orjson

from service.api.schemas.problem import Problem, ProblemError
from service.api.secure_headers import SECURE

_MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection is closed.

    Attributes:
        reason: as it is counted.
    """

    reason: str
    status: int
    code: str
    detail: str

    def reply(self) -> bytes:
        """The bytes of a whole reply."""
        phrase, request_id = HTTPStatus(self.status).phrase, uuid.uuid4().hex
        body = orjson.dumps(self._problem(phrase, request_id).model_dump())
        headers = {
            "content-type": _MEDIA_TYPE,
            "content-length": str(len(body)),
            "x-request-id": request_id,
            "connection": "close",
            **SECURE,
            **({"retry-after": "1"} if self.status == HTTPStatus.SERVICE_UNAVAILABLE else {}),
        }
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def _problem(self, phrase: str, request_id: str) -> Problem:
        type_ = "server_error" if self.status == HTTPStatus.SERVICE_UNAVAILABLE else "invalid_request_error"
        return Problem(
            type=f"urn:quarry:problem:{self.code}",
            title=phrase,
            status=self.status,
            detail=self.detail,
            instance="/",
            request_id=request_id,
            stage=None,
            retryable=self.status == HTTPStatus.SERVICE_UNAVAILABLE,
            timings_ms={"total": 0.0},
            error=ProblemError(message=self.detail, type=type_, param=None, code=self.code),
        )


MALFORMED = Refusal("malformed", 400, "invalid_request", "what was sent is not HTTP/1.1")
CROWDED = Refusal("crowded", 503, "overloaded", "the server has as many connections as it takes, and all are busy")


def head_too_large(most_bytes: int, most_fields: int) -> Refusal:
    """The head of a request has more bytes or fields."""
    detail = f"the head of the request is larger than the limit of {most_bytes} bytes and {most_fields} fields"
    return Refusal("head_too_large", 431, "head_too_large", detail)
