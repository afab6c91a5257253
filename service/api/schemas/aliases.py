"""Aliases of collections."""

from pydantic import BaseModel

from service.api.schemas.base import StrictBody


class AliasBody(StrictBody):
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
