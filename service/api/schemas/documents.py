"""Documents, as they are written, read and deleted."""

import json
from typing import Annotated, Any, Literal

import orjson
from pydantic import AfterValidator, AliasChoices, BaseModel, Field

from service.api.schemas.base import FILTERS, NO_NUL, NOT_BLANK_NO_NUL, StrictBody, described, examples

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


Metadata = Annotated[
    dict[str, Any],
    AfterValidator(_storable),
    Field(
        description=f"Values by key, at most {_MAX_METADATA_BYTES} bytes as JSON; what filters look at.",
        json_schema_extra={"additionalProperties": {"$ref": "#/components/schemas/MetadataValue"}},
    ),
]


class DocumentBody(StrictBody):
    """A document's content."""

    model_config = examples(
        {"title": "Memo", "text": "The audit is on Friday.", "metadata": {"tenant": "acme", "year": 2026}}
    )

    title: str = Field("", max_length=_MAX_TITLE_CHARACTERS, json_schema_extra=described(pattern=NO_NUL))
    text: str = Field(
        description="Plain text or Markdown, not blank and without NUL.",
        json_schema_extra=described(settings={"maxLength": "limits.document_characters"}, pattern=NOT_BLANK_NO_NUL),
    )
    metadata: Metadata = Field({})
    url: str | None = Field(
        None,
        max_length=_MAX_URL_CHARACTERS,
        description="Where the original is.",
        json_schema_extra=described(pattern=NO_NUL),
    )


class FormBody(StrictBody):
    """A file with what is known of it beside its content."""

    model_config = examples({"file": "The audit is on Friday.", "title": "Memo", "metadata": '{"tenant": "acme"}'})

    file: str = Field(
        description="Text, Markdown, HTML, PDF or Word; its name says by its suffix which.",
        json_schema_extra=described(format="binary"),
    )
    title: str = Field(
        "",
        max_length=_MAX_TITLE_CHARACTERS,
        description="By default what the file itself says.",
        json_schema_extra=described(pattern=NO_NUL),
    )
    metadata: str = Field(
        "{}", description="A JSON object.", json_schema_extra=described(contentMediaType="application/json")
    )
    url: str = Field("", max_length=_MAX_URL_CHARACTERS, json_schema_extra=described(pattern=NO_NUL))


class BatchLine(DocumentBody):
    """One line of an NDJSON batch."""

    model_config = examples({"id": "memo-1", "title": "Memo", "text": "The audit is on Friday."})

    id: str = Field(validation_alias=AliasChoices("id", "_id"))


class DocumentReply(BaseModel):
    """What became of a write; ``accepted`` is durable, and not searchable yet."""

    model_config = examples(
        {"id": "memo-1", "status": "created", "index_version": 1},
        {"id": "report.pdf", "status": "accepted", "job_id": "b7e6c1b0-6a2e-4c53-8f6f-0a1d5a4c9e11"},
    )

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

    model_config = examples(
        {"line": 1, "id": "memo-1", "status": "created", "error": None},
        {
            "line": 2,
            "id": "memo-2",
            "status": "skipped",
            "error": {"code": "empty_document", "message": "document 'memo-2' has no text"},
        },
    )

    line: int = Field(0, description="Its number in the request, from 1; blank lines count.")
    id: str | None = Field(description="None where the line has none that can be read.")
    status: Literal["created", "updated", "unchanged", "skipped", "error"]
    error: BatchError | None = None


class StoredDocument(BaseModel):
    """A document with its text."""

    model_config = examples(
        {
            "id": "memo-1",
            "title": "Memo",
            "text": "The audit is on Friday.",
            "metadata": {"tenant": "acme", "year": 2026},
            "url": None,
        }
    )

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

    model_config = examples(
        {
            "data": [{"id": "memo-1", "title": "Memo", "metadata": {"tenant": "acme"}, "url": None}],
            "next_cursor": None,
        }
    )

    data: list[DocumentEntry]
    next_cursor: str | None


class DeleteBody(StrictBody):
    """Which documents to delete."""

    model_config = examples({"filters": {"type": "lt", "key": "year", "value": 2020}})

    filters: dict[str, Any] = Field(description=FILTERS, json_schema_extra=described("Filter"))


class DeletedDocument(BaseModel):
    """``deleted`` counts documents: 0 where there was none."""

    model_config = examples({"deleted": 1, "index_version": 2})

    deleted: int
    index_version: int
