"""Models, in OpenAI's shape."""

from typing import Literal

from pydantic import BaseModel, Field

Use = Literal["chat", "embeddings", "rerank"]


class ModelReply(BaseModel):
    """What may stand in the field ``model`` of a request."""

    id: str
    object: Literal["model"] = "model"
    created: int = Field(0, description="Always 0: it is not known.")
    owned_by: Literal["quarry"] = "quarry"
    uses: list[Use] = Field(description="Of what it is a model: collections and aliases of chat completions.")


class ModelList(BaseModel):
    """All of them, collections first."""

    object: Literal["list"] = "list"
    data: list[ModelReply]
