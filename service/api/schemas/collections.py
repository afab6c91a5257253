"""Collections: their identity, extent and re-embedding."""

from typing import Literal

from pydantic import BaseModel, Field

from indexes.base import Metric
from service.api.schemas.base import Finite, StrictBody
from service.api.schemas.index import IndexReply


class ChunkingBody(StrictBody):
    """Chunk sizes in tokens of the embedding model."""

    size: int | None = Field(None, ge=16, le=8192)
    overlap: int | None = Field(None, ge=0)


class CollectionBody(StrictBody):
    """A collection's identity; what is left out takes the server's default. ``llm`` is no part of it."""

    embedding_model: str | None = None
    metric: Metric | None = Field(None, description="How vectors are compared; cosine by default.")
    target_recall: Finite | None = Field(
        None, ge=0.5, le=0.9999, description="Share of the exact ten nearest chunks that a search should find."
    )
    chunking: ChunkingBody = ChunkingBody()
    llm: str | None = Field(
        None,
        description="Generator for questions that name none; null leaves it as it is, an empty string takes it back.",
    )


class ChunkingReply(BaseModel):
    """Chunk sizes in tokens."""

    size: int
    overlap: int


class ReembedBody(StrictBody):
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
    llm: str | None = Field(description="Generator for questions that name none; null takes the server's default.")
    documents: int
    chunks: int
    index_version: int
    index: IndexReply
    reembedding: ReembeddingReply | None


class CollectionList(BaseModel):
    """Every collection, by name."""

    data: list[CollectionReply]
    unavailable: dict[str, str] = Field(description="Why a collection cannot be read, by name.")


class DeletedCollection(BaseModel):
    """The name that is free again."""

    deleted: str
