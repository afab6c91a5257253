"""Aliases of collections."""

from pydantic import BaseModel

from service.api.schemas.base import StrictBody, examples


class AliasBody(StrictBody):
    """What an alias is to name."""

    model_config = examples({"collection": "docs"})

    collection: str


class AliasReply(BaseModel):
    """An alias and its collection."""

    model_config = examples({"name": "current", "collection": "docs"})

    name: str
    collection: str


class AliasList(BaseModel):
    """Every alias, by name."""

    model_config = examples({"data": [{"name": "current", "collection": "docs"}]})

    data: list[AliasReply]


class DeletedAlias(BaseModel):
    """The name that is free again."""

    model_config = examples({"deleted": "current"})

    deleted: str
