"""Keys as they are asked for and told."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, field_validator

from indexes.errors import InvalidFilterError
from indexes.filters import parse_filter, to_json
from indexes.names import COLLECTION_PATTERN
from service.access.key import NAME, Key, KeyLimits, Presented
from service.access.keys import NewKey
from service.access.rights import Rights
from service.access.scope import SCOPES, Scope
from service.api.schemas.base import WHOLE, StrictBody, described, examples
from service.errors import InvalidRequestError

_MAX_COLLECTIONS = 256
_MOST = 1_000_000_000
_MAX_FILTER_BYTES = 32 << 10
_LIMIT = Annotated[int, Field(ge=1, le=_MOST), WHOLE]
_NAME = Annotated[str, Field(pattern=f"^{COLLECTION_PATTERN}$")]
_READER: dict[str, Any] = {
    "name": "acme reader",
    "scopes": ["query"],
    "collections": ["docs"],
    "filter": {"type": "eq", "key": "tenant", "value": "acme"},
    "limits": {"requests_per_minute": 600, "tokens_per_minute": None, "concurrency": 8},
}
_ADMIN: dict[str, Any] = {"name": "operator", "scopes": ["admin"]}
_KEPT = {
    "id": "9f86d081884c7d65",
    **_READER,
    "created_at": "2026-03-02T09:00:00Z",
    "revoked_at": None,
}


class KeyLimitsBody(StrictBody):
    """How much one key may ask for; null is no limit of its own."""

    model_config = examples(_READER["limits"])

    requests_per_minute: _LIMIT | None = Field(None, description="Requests that are begun in a minute.")
    tokens_per_minute: _LIMIT | None = Field(
        None, description="Tokens that the models read and write for it in a minute, those of its uploads included."
    )
    concurrency: _LIMIT | None = Field(None, description="Requests at a time.")


class KeyBody(StrictBody):
    """A key as its maker wants it."""

    model_config = examples(_ADMIN, _READER)

    name: str = Field(
        pattern=f"^{NAME.pattern}$", description="What it is called: letters, digits, spaces and `.`, `_`, `@`, `-`."
    )
    scopes: list[Scope] = Field(
        min_length=1, max_length=len(SCOPES), description="`query`, `ingest`, or `admin`, which includes both."
    )
    collections: list[_NAME] | None = Field(
        None,
        min_length=1,
        max_length=_MAX_COLLECTIONS,
        description="Collections and aliases that it may use; null is every one there is or will be.",
    )
    filter: dict[str, Any] | None = Field(
        None,
        description="What a document's metadata must pass to exist for it; null is every document.",
        json_schema_extra=described("Filter"),
    )
    limits: KeyLimitsBody = KeyLimitsBody()

    @field_validator("filter")
    @classmethod
    def _is_filter(cls, raw: dict[str, Any] | None) -> dict[str, Any] | None:
        if raw is None:
            return None
        try:
            filter_ = to_json(parse_filter(raw))
        except InvalidFilterError as error:
            raise ValueError(str(error)) from error
        size = len(json.dumps(filter_))
        if size > _MAX_FILTER_BYTES:  # every deletion by the key leaves it in the log
            raise ValueError(f"takes {size} bytes as JSON; the limit is {_MAX_FILTER_BYTES}")
        return filter_

    def wanted(self) -> NewKey:
        """The key to make.

        Raises:
            InvalidRequestError: it would be an administrator of some of the documents.
        """
        if self.filter is not None and "admin" in self.scopes:
            raise InvalidRequestError(
                "a key of scope admin takes no filter: rebuilding, purging and deleting a collection is about every "
                "document in it",
                param="filter",
            )
        collections = None if self.collections is None else frozenset(self.collections)
        filter_ = None if self.filter is None else parse_filter(self.filter)
        return NewKey(
            self.name,
            Rights(frozenset(self.scopes), collections, filter_),
            KeyLimits(**self.limits.model_dump()),
        )


class KeyReply(BaseModel):
    """A key, without what opens anything."""

    model_config = examples(_KEPT)

    id: str = Field(description="Public: logs name it.")
    name: str
    scopes: list[Scope]
    collections: list[str] | None
    filter: dict[str, Any] | None = Field(json_schema_extra=described("Filter"))
    limits: KeyLimits
    created_at: datetime
    revoked_at: datetime | None = Field(description="Since when it opens nothing; null for a key that holds.")

    @classmethod
    def of(cls, key: Key, /, **more: str) -> Self:
        """What may be told of a key at any time.

        Args:
            more: fields of a subclass.
        """
        rights = key.rights
        return cls(
            id=key.id,
            name=key.name,
            scopes=[scope for scope in SCOPES if scope in rights.scopes],
            collections=None if rights.collections is None else sorted(rights.collections),
            filter=None if rights.filter is None else to_json(rights.filter),
            limits=key.limits,
            created_at=datetime.fromtimestamp(key.created_at, UTC),
            revoked_at=None if key.revoked_at is None else datetime.fromtimestamp(key.revoked_at, UTC),
            **more,
        )


class MadeKey(KeyReply):
    """A new key, with its text."""

    model_config = examples(
        {"key": "quarry.9f86d081884c7d65.0kd9mYb2cCkJx0PzqTTkZ3JY6m5rIEYcJ5z8Wc1bQwE", **_KEPT},
    )

    key: str = Field(description="What is shown as `Authorization: Bearer`. It is told here, and never again.")

    @classmethod
    def shown(cls, key: Key, text: Presented) -> "MadeKey":
        """At the one moment in which that is known."""
        return cls.of(key, key=str(text))


class KeyList(BaseModel):
    """Every key that holds and those that were revoked last, the oldest first."""

    model_config = examples({"data": [_KEPT]})

    data: list[KeyReply]

    @classmethod
    def of(cls, keys: list[Key]) -> "KeyList":
        """In the order of ``keys``."""
        return cls(data=[KeyReply.of(key) for key in keys])
