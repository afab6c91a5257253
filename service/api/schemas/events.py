"""The events of a stream: what their data is."""

from typing import Literal

from pydantic import BaseModel, Field

from service.api.schemas.explanation import Explanation
from service.api.schemas.problem import Problem
from service.api.schemas.question import ChunkReply, CitationReply, WarningReply


class Found(BaseModel):
    """What is known before the language model starts."""

    chunks: list[ChunkReply]
    searched: str
    warnings: list[WarningReply]
    timings_ms: dict[str, float]
    index_version: int
    explain: Explanation | None


class RetrievalEvent(Found):
    """The first: what was found, before the language model starts."""

    id: str


class TokenEvent(BaseModel):
    """More of the answer; the texts of all of them joined are the answer."""

    text: str


class CitationEvent(CitationReply):
    """A marker of the answer, once its text was sent."""


class Ended(BaseModel):
    """What is known of an answer when it is there."""

    status: Literal["ok", "partial", "no_answer", "blocked"]
    no_answer_reason: str | None
    confidence: float | None = Field(description="As in a `QueryReply`.")
    llm_timings_ms: dict[str, float]
    timings_ms: dict[str, float]
    degraded: list[str]


class DoneEvent(Ended):
    """The last of an answer that was made."""

    answer: str
    finish_reason: str | None
    usage: dict[str, int]


class ErrorEvent(Problem):
    """The last of an answer that was not: the problem, as a reply would have it."""
