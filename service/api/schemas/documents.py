"""Documents, as they are written, read and deleted."""

import json
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, AliasChoices, BaseModel, Field

from service.api.schemas.base import FILTERS, StrictBody

_MAX_TITLE_CHARACTERS = 1000
_MAX_URL_CHARACTERS = 2048
_MAX_METADATA_BYTES = 65_536


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


Metadata = Annotated[dict[str, Any], AfterValidator(_storable)]


class DocumentBody(StrictBody):
    """A document's content."""

    title: str = Field("", max_length=_MAX_TITLE_CHARACTERS)
    text: str
    metadata: Metadata = Field({})
    url: str | None = Field(None, max_length=_MAX_URL_CHARACTERS)


class BatchLine(DocumentBody):
    """One line of an NDJSON batch."""

    id: str = Field(validation_alias=AliasChoices("id", "_id"))


class DocumentReply(BaseModel):
    """What became of a write; ``accepted`` is durable, and not searchable yet."""

    id: str
    status: Literal["created", "updated", "unchanged", "accepted"]
    index_version: int | None = Field(None, description="Of the collection with it; not of what is only accepted.")
    job_id: str | None = Field(None, description="Of the job that writes it or wrote it, where there is one.")


class BatchError(BaseModel):
    """Why a line was not stored."""

    code: str
    message: str


class BatchLineReply(BaseModel):
    """What became of one line; ``skipped`` is an empty document."""

    line: int = Field(0, description="Its number in the request, from 1; blank lines count.")
    id: str | None = Field(description="None where the line has none that can be read.")
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


class DeleteBody(StrictBody):
    """Which documents to delete."""

    filters: dict[str, Any] = Field(description=FILTERS)


class DeletedDocument(BaseModel):
    """``deleted`` counts documents: 0 where there was none."""

    deleted: int
    index_version: int
