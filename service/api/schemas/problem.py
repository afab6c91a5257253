"""Problems, as every error is told."""

from pydantic import BaseModel


class ProblemError(BaseModel):
    """The same problem as OpenAI's clients read it."""

    message: str
    type: str
    param: str | None
    code: str


class Problem(BaseModel):
    """RFC 9457 problem details, with OpenAI's ``error`` beside them."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    stage: str | None
    retryable: bool
    timings_ms: dict[str, float]
    error: ProblemError
