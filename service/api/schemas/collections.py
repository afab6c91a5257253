"""Collections: their identity, extent and re-embedding."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainValidator, TypeAdapter, WithJsonSchema

from indexes.base import Metric
from indexes.languages import Language
from service.api.schemas.base import WHOLE, Finite, StrictBody, examples
from service.api.schemas.index import IndexReply

_DOCS = {
    "name": "docs",
    "embedding_model": "all-MiniLM-L6-v2",
    "dimension": 384,
    "metric": "cosine",
    "target_recall": 0.99,
    "language": "en",
    "chunking": {"size": 100, "overlap": 20},
    "llm": None,
    "min_confidence": None,
    "documents": 1,
    "chunks": 1,
    "index_version": 1,
    "index": {
        "seal_rows": 8192,
        "segments": [{"tier": "growing: exact below 8192 rows", "index": "flat", "rows": 1, "live_rows": 1}],
        "dead_rows": 0,
        "bytes": 1568,
        "sentences": 1,
        "sentence_bytes": 396,
        "recall": {"recall": None, "low": 0.0, "high": 1.0, "searches": 0},
        "snapshot": None,
        "working_on": None,
        "lexical": {"state": "ready", "rows": 1, "newest_rows": 1, "bytes": 0, "memory_bytes": 5120},
        "trouble": [],
    },
    "reembedding": None,
}


def _confidence(value: object) -> object:
    return value if value == "" else _SHARE.validate_python(value)


_SHARE: TypeAdapter[float] = TypeAdapter(Annotated[Finite, Field(strict=True, ge=0, le=1)])
# One rule for both, so that a value that is neither is told of once.
ConfidencePreference = Annotated[
    float | Literal[""],
    PlainValidator(_confidence),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"const": "", "type": "string"}]}),
]


class ChunkingBody(StrictBody):
    """Chunk sizes in tokens of the embedding model."""

    size: Annotated[int, Field(ge=16, le=8192), WHOLE] | None = None
    overlap: Annotated[int, Field(ge=0), WHOLE] | None = None


class CollectionBody(StrictBody):
    """A collection's identity; what is left out takes the server's default. Preferences are no part of it."""

    model_config = examples(
        {},
        {"metric": "cosine", "target_recall": 0.99, "language": "en", "chunking": {"size": 100, "overlap": 20}},
    )

    embedding_model: str | None = None
    metric: Metric | None = Field(None, description="How vectors are compared; cosine by default.")
    target_recall: Finite | None = Field(
        None, ge=0.5, le=0.9999, description="Share of the exact ten nearest chunks that a search should find."
    )
    language: Language | None = Field(
        None,
        description="Whose words the documents are made of (ISO 639-1), to find one word by another of its forms; "
        "`unicode` tells words apart and knows no forms.",
    )
    chunking: ChunkingBody = ChunkingBody()
    llm: str | None = Field(
        None,
        description="Generator for questions that name none; null leaves it as it is, an empty string takes it back.",
    )
    min_confidence: ConfidencePreference | None = Field(
        None, description="Lowest confidence of quotes that are an answer; null and an empty string as for `llm`."
    )


class ChunkingReply(BaseModel):
    """Chunk sizes in tokens."""

    size: int
    overlap: int


class ReembedBody(StrictBody):
    """What to do; the collection keeps of itself what ``start`` leaves out, and the other actions take nothing more."""

    model_config = examples({"action": "start", "chunking": {"size": 120, "overlap": 20}}, {"action": "finish"})

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

    model_config = examples(_DOCS)

    name: str
    embedding_model: str
    dimension: int
    metric: Metric
    target_recall: float
    language: str
    chunking: ChunkingReply
    llm: str | None = Field(description="Generator for questions that name none; null takes the server's default.")
    min_confidence: float | None = Field(
        description="Lowest confidence of quotes that are an answer; null takes the server's default."
    )
    documents: int | None = Field(
        description="None at a replica, to a key with a filter that Milvus does not count by exactly."
    )
    chunks: int | None = Field(description="None to a key with a filter.")
    index_version: int
    index: IndexReply | None = Field(description="None to a key with a filter.")
    reembedding: ReembeddingReply | None


class CollectionList(BaseModel):
    """Every collection, by name."""

    model_config = examples({"data": [_DOCS], "unavailable": {}})

    data: list[CollectionReply]
    unavailable: dict[str, str] = Field(description="Why a collection cannot be read, by name.")


class DeletedCollection(BaseModel):
    """The name that is free again."""

    model_config = examples({"deleted": "docs"})

    deleted: str
