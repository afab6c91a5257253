"""Embeddings, in OpenAI's shape."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.api.schemas.base import VendorBody


class EmbeddingsBody(VendorBody):
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
