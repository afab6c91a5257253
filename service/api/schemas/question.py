"""Questions and searches, and what they find."""

from typing import Any, Literal, Self

from pydantic import BaseModel, Field

from indexes.base import Hit
from service.api.schemas.base import FILTERS, Finite, StrictBody
from service.api.schemas.explanation import Explanation
from service.rag import Citation

MAX_TOP_K = 1000


class SearchBody(StrictBody):
    """What to find, and where."""

    query: str = Field(min_length=1, description="The question or search text.")
    collection: str = Field("default", description="Name of the collection.")
    top_k: int = Field(10, ge=1, le=MAX_TOP_K, description="Chunks wanted.")
    score_threshold: Finite | None = Field(None, ge=-1, le=1, description="Lowest cosine of a chunk.")
    filters: dict[str, Any] | None = Field(None, description=FILTERS)
    deadline_ms: int | None = Field(None, ge=1, le=600_000, description="Time the request may take.")
    explain: bool = Field(False, description="Also say how the index was searched, and what it dropped.")


class QueryBody(SearchBody):
    """A question to answer."""

    generate: bool = Field(True, description="False returns the chunks without an answer.")
    llm: str | None = Field(None, description="Name of a configured generator; `extractive` is always there.")
    max_tokens: int | None = Field(None, ge=1, le=32_768)
    temperature: Finite | None = Field(None, ge=0, le=2)
    stream: bool = Field(False, description="Server-sent events instead of one JSON object.")
    on_failure: Literal["degrade", "fail"] = "degrade"


class ChunkReply(BaseModel):
    """A chunk that was found."""

    id: str
    document_id: str
    title: str
    url: str | None
    text: str
    start: int
    end: int
    page: int | None
    heading_path: list[str]
    score: float
    scores: dict[str, float]

    @classmethod
    def of(cls, hit: Hit) -> Self:
        """The wire form of a hit."""
        chunk = hit.chunk
        return cls(
            id=chunk.id,
            document_id=chunk.document_id,
            title=hit.title,
            url=hit.url,
            text=chunk.text,
            start=chunk.start,
            end=chunk.end,
            page=chunk.page,
            heading_path=list(chunk.heading_path),
            score=hit.score,
            scores=dict(hit.scores),
        )


class CitationReply(BaseModel):
    """A marker of the answer and the span of the document it rests on; offsets are Unicode code points."""

    marker: int
    chunk_id: str
    document_id: str
    document_start: int
    document_end: int
    answer_start: int
    answer_end: int
    quote: str

    @classmethod
    def of(cls, citation: Citation) -> Self:
        """The wire form of a citation."""
        return cls.model_validate(citation, from_attributes=True)


class SearchReply(BaseModel):
    """Chunks, best first."""

    id: str
    chunks: list[ChunkReply]
    timings_ms: dict[str, float]
    index_version: int
    explain: Explanation | None


class QueryReply(BaseModel):
    """An answer with what it rests on."""

    id: str
    answer: str | None
    status: Literal["ok", "partial", "no_answer"]
    no_answer_reason: str | None
    citations: list[CitationReply]
    chunks: list[ChunkReply]
    usage: dict[str, int]
    timings_ms: dict[str, float]
    degraded: list[str]
    index_version: int
    explain: Explanation | None
