"""The wire types. Requests refuse unknown fields and never convert types."""

import json
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field

from indexes.base import Hit, Metric
from service.api.explanation import Explanation
from service.api.index_replies import IndexReply
from service.rag import Citation

MAX_TOP_K = 1000
_MAX_TITLE_CHARACTERS = 1000
_MAX_URL_CHARACTERS = 2048
_MAX_METADATA_BYTES = 65_536
_FILTERS = (
    "What a document's metadata must pass: {type: eq, ne, gt, gte, lt, lte, in or nin, key, value} "
    "or {type: and or or, filters: [...]}."
)


def _storable(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata must survive JSON: no NaN, no integers beyond 64 bits, no lone surrogates."""
    try:
        size = len(orjson.dumps(metadata))
        json.dumps(metadata, allow_nan=False)  # orjson writes NaN as null
    except (orjson.JSONEncodeError, ValueError) as error:
        raise ValueError(f"cannot be stored as JSON: {error}") from None
    if size > _MAX_METADATA_BYTES:
        raise ValueError(f"takes {size} bytes as JSON; the limit is {_MAX_METADATA_BYTES}")
    return metadata


Finite = Annotated[float, Field(allow_inf_nan=False)]
Metadata = Annotated[dict[str, Any], AfterValidator(_storable)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class SearchBody(_Request):
    """What to find, and where."""

    query: str = Field(min_length=1, description="The question or search text.")
    collection: str = Field("default", description="Name of the collection.")
    top_k: int = Field(10, ge=1, le=MAX_TOP_K, description="Chunks wanted.")
    score_threshold: Finite | None = Field(None, ge=-1, le=1, description="Lowest cosine of a chunk.")
    filters: dict[str, Any] | None = Field(None, description=_FILTERS)
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


class _VendorRequest(BaseModel):
    """A shape that others' clients speak: fields it does not know are theirs, and ignored."""

    model_config = ConfigDict(extra="ignore", strict=True)


class EmbeddingsBody(_VendorRequest):
    """Texts to embed."""

    model: str | None = Field(None, description="Name of a served embedder; the default one where there is none.")
    input: str | list[Any] = Field(
        json_schema_extra={"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    )
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(None, ge=1, description="Cut the vectors and make them unit vectors again.")
    input_type: Literal["query", "document", "passage"] | None = None


class Embedding(BaseModel):
    """One vector: numbers, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsUsage(BaseModel):
    """Tokens that were read; both are the same."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsReply(BaseModel):
    """Vectors in the order of the input."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage


class RerankDocument(BaseModel):
    """A document's text."""

    model_config = ConfigDict(extra="ignore", strict=True)

    text: str


class RerankBody(_VendorRequest):
    """A query, and documents to rank by it."""

    model: str | None = Field(None, description="Name of the served reranker.")
    query: str
    documents: list[str | RerankDocument]
    top_n: int | None = Field(None, ge=1, description="Results wanted; all where none is given.")
    return_documents: bool | None = False


class RerankResult(BaseModel):
    """A document's place: ``index`` is its position in the request."""

    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankUsage(BaseModel):
    """Tokens of all pairs of query and document."""

    total_tokens: int


class RerankReply(BaseModel):
    """Documents, best first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: RerankUsage


class DocumentBody(_Request):
    """A document's content."""

    title: str = Field("", max_length=_MAX_TITLE_CHARACTERS)
    text: str
    metadata: Metadata = {}
    url: str | None = Field(None, max_length=_MAX_URL_CHARACTERS)


class BatchLine(DocumentBody):
    """One line of an NDJSON batch."""

    id: str = Field(validation_alias=AliasChoices("id", "_id"))


class DocumentReply(BaseModel):
    """What became of a write."""

    id: str
    status: Literal["created", "updated", "unchanged"]
    index_version: int


class BatchError(BaseModel):
    """Why a line was not stored."""

    code: str
    message: str


class BatchLineReply(BaseModel):
    """What became of one line; ``skipped`` is an empty document."""

    id: str | None
    status: Literal["created", "updated", "unchanged", "skipped", "error"]
    error: BatchError | None = None


class StoredDocument(BaseModel):
    """A document with its text."""

    id: str
    title: str
    text: str
    metadata: dict[str, Any]
    url: str | None


class DocumentEntry(BaseModel):
    """A document in a listing."""

    id: str
    title: str
    metadata: dict[str, Any]
    url: str | None


class DocumentPage(BaseModel):
    """Documents by id; ``next_cursor`` is None on the last page."""

    data: list[DocumentEntry]
    next_cursor: str | None


class DeleteBody(_Request):
    """Which documents to delete."""

    filters: dict[str, Any] = Field(description=_FILTERS)


class DeletedDocument(BaseModel):
    """``deleted`` counts documents: 0 where there was none."""

    deleted: int
    index_version: int


class ChunkingBody(_Request):
    """Chunk sizes in tokens of the embedding model."""

    size: int | None = Field(None, ge=16, le=8192)
    overlap: int | None = Field(None, ge=0)


class CollectionBody(_Request):
    """A collection's identity; what is left out takes the server's default."""

    embedding_model: str | None = None
    metric: Metric | None = Field(None, description="How vectors are compared; cosine by default.")
    target_recall: Finite | None = Field(
        None, ge=0.5, le=0.9999, description="Share of the exact ten nearest chunks that a search should find."
    )
    chunking: ChunkingBody = ChunkingBody()


class ChunkingReply(BaseModel):
    """Chunk sizes in tokens."""

    size: int
    overlap: int


class ReembedBody(_Request):
    """What to do; the collection keeps of itself what ``start`` leaves out, and the other actions take nothing more."""

    action: Literal["start", "rollback", "finish"] = "start"
    embedding_model: str | None = None
    chunking: ChunkingBody = ChunkingBody()


class ReembeddingTarget(BaseModel):
    """What a collection is being made into."""

    embedding_model: str
    dimension: int
    chunking: ChunkingReply


class ReembeddingReply(BaseModel):
    """How far it is; ``target`` is None where its files are damaged."""

    state: Literal["building", "switched", "rolling_back", "rolled_back"]
    target: ReembeddingTarget | None
    done: int
    total: int
    error: str | None


class CollectionReply(BaseModel):
    """A collection's identity and extent."""

    name: str
    embedding_model: str
    dimension: int
    metric: Metric
    target_recall: float
    chunking: ChunkingReply
    documents: int
    chunks: int
    index_version: int
    index: IndexReply
    reembedding: ReembeddingReply | None


class AliasBody(_Request):
    """What an alias is to name."""

    collection: str


class AliasReply(BaseModel):
    """An alias and its collection."""

    name: str
    collection: str


class AliasList(BaseModel):
    """Every alias, by name."""

    data: list[AliasReply]


class DeletedAlias(BaseModel):
    """The name that is free again."""

    deleted: str


class CollectionList(BaseModel):
    """Every collection, by name."""

    data: list[CollectionReply]
    unavailable: dict[str, str] = Field(description="Why a collection cannot be read, by name.")


class DeletedCollection(BaseModel):
    """The name that is free again."""

    deleted: str


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
    error: ProblemError
