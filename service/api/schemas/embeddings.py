"""Embeddings, in OpenAI's shape."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from service.api.schemas.base import WHOLE, VendorBody, examples


class EmbeddingsBody(VendorBody):
    """Texts to embed."""

    model_config = examples({"input": "When is the audit?"}, {"input": ["When is the audit?"], "input_type": "query"})

    model: str | None = Field(None, description="Name of a served embedder; the default one where there is none.")
    input: str | list[Any] = Field(
        description="A text, or texts; none of them empty.",
        json_schema_extra={
            "anyOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 1,
                    "x-settings": {"maxItems": "limits.embedding_inputs"},
                },
            ]
        },
    )
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: Annotated[int, Field(ge=1), WHOLE] | None = Field(
        None, description="Cut the vectors and make them unit vectors again."
    )
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

    model_config = examples(
        {
            "object": "list",
            "data": [{"object": "embedding", "index": 0, "embedding": [0.0186, -0.0431, 0.0547]}],
            "model": "all-MiniLM-L6-v2",
            "usage": {"prompt_tokens": 7, "total_tokens": 7},
        }
    )

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage
