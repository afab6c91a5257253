"""Models, in OpenAI's shape."""

from typing import Literal

from pydantic import BaseModel, Field

from service.api.schemas.base import examples

_MODEL = {"object": "model", "created": 0, "owned_by": "quarry"}
_COLLECTION = {"id": "docs", **_MODEL, "uses": ["chat"]}
_EMBEDDER = {"id": "all-MiniLM-L6-v2", **_MODEL, "uses": ["embeddings"]}

Use = Literal["chat", "embeddings", "rerank"]


class ModelReply(BaseModel):
    """What may stand in the field ``model`` of a request."""

    model_config = examples(_COLLECTION)

    id: str
    object: Literal["model"] = "model"
    created: int = Field(0, description="Always 0: it is not known.")
    owned_by: Literal["quarry"] = "quarry"
    uses: list[Use] = Field(description="Of what it is a model: collections and aliases of chat completions.")


class ModelList(BaseModel):
    """All of them, collections first."""

    model_config = examples({"object": "list", "data": [_COLLECTION, _EMBEDDER]})

    object: Literal["list"] = "list"
    data: list[ModelReply]
