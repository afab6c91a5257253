"""Questions and searches, and what they find."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from indexes.base import Hit
from service.answer import Citation
from service.api.schemas.base import NOT_BLANK, WHOLE, Finite, StrictBody, described, examples
from service.api.schemas.conversation import MessageBody
from service.api.schemas.explanation import Explanation
from service.api.schemas.retrieval import RetrievalBody
from service.question import Retrieval
from service.reordered import Left

CHUNK: dict[str, object] = {
    "id": "memo-1#0",
    "document_id": "memo-1",
    "title": "Memo",
    "url": None,
    "text": "The audit is on Friday.",
    "start": 0,
    "end": 23,
    "page": None,
    "heading_path": [],
    "score": 0.71,
    "scores": {"vector": 0.71, "lexical": 4.2},
}
CITATION: dict[str, object] = {
    "marker": 1,
    "chunk_id": "memo-1#0",
    "document_id": "memo-1",
    "document_start": 0,
    "document_end": 23,
    "answer_start": 24,
    "answer_end": 27,
    "quote": "The audit is on Friday.",
    "page": None,
    "heading_path": [],
    "score": 2.1,
}
_TEXT = described(settings={"maxLength": "limits.query_characters"}, pattern=NOT_BLANK)
# A schema cannot say that the last message is the user's.
_ASKS_ONCE = [
    {"required": ["query"], "properties": {"query": {"type": "string"}, "messages": {"type": "null"}}},
    {"required": ["messages"], "properties": {"messages": {"type": "array"}, "query": {"type": "null"}}},
]
_WHY: dict[Left | None, str] = {
    "deadline": "the deadline left no time for it",
    "budget": "budgets.rerank_ms left no time for it",
    "overloaded": "too much waits for the device",
    "late": "it was late",
    "failed": "the cross-encoder failed",
}
_STREAMS_AN_ANSWER = {
    "properties": {"stream": {"const": True}, "generate": {"const": False}},
    "required": ["stream", "generate"],
}


class AnswerOptions(StrictBody):
    """Who answers, and to what."""

    rewrite: bool | None = Field(
        None, description="Search for what the last message means in the conversation; null takes the server's default."
    )
    llm: str | None = Field(None, description="Name of a configured generator; `extractive` is always there.")


class SearchBody(RetrievalBody):
    """What to find, and where."""

    model_config = examples(
        {"query": "When is the audit?", "collection": "docs", "top_k": 3},
        {"query": "invoice 4711-B", "collection": "docs", "hybrid": {"enabled": True, "weight": 0.2}},
    )

    query: str = Field(min_length=1, description="The question or search text.", json_schema_extra=_TEXT)


class QueryBody(AnswerOptions, RetrievalBody):
    """A question to answer, alone or as the last message of a conversation."""

    model_config = examples(
        {"query": "When is the audit?", "collection": "docs", "max_tokens": 256, "deadline_ms": 20_000},
        {
            "messages": [
                {"role": "user", "content": "Who audits us?"},
                {"role": "assistant", "content": "Acme does [1]."},
                {"role": "user", "content": "And when do they come?"},
            ],
            "collection": "docs",
        },
        {"query": "When is the audit?", "collection": "docs", "stream": True},
        {
            "query": "When is the audit?",
            "boost": [{"filter": {"type": "eq", "key": "source", "value": "handbook"}, "weight": 0.15}],
        },
        oneOf=_ASKS_ONCE,
        **{"not": _STREAMS_AN_ANSWER},
    )

    query: str | None = Field(
        None, min_length=1, description="The question, if not `messages`.", json_schema_extra=_TEXT
    )
    messages: list[MessageBody] | None = Field(
        None,
        min_length=1,
        description="The conversation, oldest first; its last message is the user's question.",
        json_schema_extra=described(settings={"maxItems": "limits.conversation_messages"}),
    )
    generate: bool = Field(True, description="False returns the chunks without an answer.")
    max_tokens: Annotated[int, Field(ge=1, le=32_768), WHOLE] | None = Field(
        None, description="Longest answer, in tokens of the model."
    )
    temperature: Finite | None = Field(None, ge=0, le=2, description="Null takes the generator's own.")
    stream: bool = Field(False, description="Server-sent events instead of one JSON object.")

    @model_validator(mode="after")
    def _asks_once(self) -> Self:
        if (self.query is None) == (self.messages is None):
            raise ValueError("give either query or messages")
        if self.messages and self.messages[-1].role != "user":
            raise ValueError(
                f"the last of messages is the question: its role must be user, not {self.messages[-1].role}"
            )
        return self


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
    score: float = Field(
        description="What the search orders the chunks by. Those with `rerank` in `scores` are ordered by that, and "
        "come before the others."
    )
    scores: dict[str, float] = Field(
        description="`vector`: the cosine; `lexical`: by the query's words (BM25), where they were looked for; "
        "`boost`: the weight that `score` has in it, where the request has boosts; `rerank`: by the cross-encoder, "
        "where it was asked for this chunk."
    )

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
    page: int | None = Field(description="Of a document that has pages, counted from 1.")
    heading_path: list[str] = Field(description="Headings above it, the outermost first.")
    score: float | None = Field(
        description="How well a quoted sentence answers beside the others; null where a language model cites."
    )

    @classmethod
    def of(cls, citation: Citation) -> Self:
        """The wire form of a citation."""
        return cls.model_validate(citation, from_attributes=True)


class WarningReply(BaseModel):
    """What the caller should know of a reply that is whole all the same."""

    code: Literal["query_truncated", "lexical_unavailable", "rerank_skipped"]
    message: str

    @classmethod
    def all_of(cls, retrieval: Retrieval) -> list[Self]:
        """About a query, and the search for it."""
        query, warnings = retrieval.query, []
        if query.is_truncated:
            said = f"the query has {query.tokens} tokens; the embedding model read the first {query.limit}"
            warnings.append(cls(code="query_truncated", message=said))
        if retrieval.searched.without_lexical is not None:
            said = f"words were not looked for: their index is {retrieval.searched.without_lexical!r}"
            warnings.append(cls(code="lexical_unavailable", message=said))
        if retrieval.reordered is not None and retrieval.reordered.is_lost:
            said = f"the chunks are in the order of the search, not reranked: {_WHY[retrieval.reordered.left]}"
            warnings.append(cls(code="rerank_skipped", message=said))
        return warnings


class SearchReply(BaseModel):
    """Chunks, best first."""

    model_config = examples(
        {
            "id": "0c6a7e0d3b4f4f0f9a53a7a7c1b6a4de",
            "chunks": [CHUNK],
            "warnings": [],
            "timings_ms": {
                "tokenize": 0.1,
                "queue": 0.1,
                "embed": 3.0,
                "search": 0.4,
                "lexical": 0.3,
                "fusion": 0.1,
                "other": 0.5,
                "total": 4.4,
            },
            "index_version": 42,
            "explain": None,
        }
    )

    id: str
    chunks: list[ChunkReply]
    warnings: list[WarningReply]
    timings_ms: dict[str, float]
    index_version: int
    explain: Explanation | None


class AnswerReply(BaseModel):
    """What an answer rests on, and how it was made."""

    status: Literal["ok", "partial", "no_answer", "blocked"] = Field(
        description="`blocked`: a content rule of the server ended the answer, which is what came before."
    )
    no_answer_reason: str | None
    confidence: float | None = Field(
        description="That the answer is in what is quoted, 0..1; with less than `min_confidence` there is no answer. "
        "Null where a language model answers."
    )
    citations: list[CitationReply]
    chunks: list[ChunkReply]
    searched: str = Field(description="The text that was searched for, as the embedding model was given it.")
    llm_timings_ms: dict[str, float] = Field(description="As the language model's server has them, where it says.")
    timings_ms: dict[str, float]
    degraded: list[str]
    warnings: list[WarningReply]
    index_version: int
    explain: Explanation | None


class QueryReply(AnswerReply):
    """An answer with what it rests on."""

    model_config = examples(
        {
            "id": "0c6a7e0d3b4f4f0f9a53a7a7c1b6a4de",
            "answer": "The audit is on Friday. [1]",
            "status": "ok",
            "no_answer_reason": None,
            "confidence": 0.62,
            "finish_reason": "stop",
            "citations": [CITATION],
            "chunks": [CHUNK],
            "searched": "When is the audit?",
            "usage": {},
            "llm_timings_ms": {},
            "timings_ms": {"embed": 3.0, "search": 0.4, "llm_total": 9.1, "other": 0.9, "total": 13.4},
            "degraded": [],
            "warnings": [],
            "index_version": 42,
            "explain": None,
        }
    )

    id: str
    answer: str | None
    finish_reason: str | None = Field(
        description="`stop`, or why it was ended: `length` by max_tokens, `content_filter` by a content rule."
    )
    usage: dict[str, int]
