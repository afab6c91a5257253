"""Jobs, as they are looked at."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from service.api.schemas.base import examples
from service.ingest.jobs.job import Job

Kind = Literal["file", "text", "batch"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]


_JOB = {
    "id": "b7e6c1b0-6a2e-4c53-8f6f-0a1d5a4c9e11",
    "collection": "docs",
    "kind": "batch",
    "document_id": None,
    "status": "succeeded",
    "done": 2,
    "total": 2,
    "outcomes": {"created": 1, "skipped": 1},
    "errors": [
        {"id": "memo-2", "line": 2, "code": "empty_document", "message": "document 'memo-2' has no text"},
    ],
    "index_version": 1,
    "waits_for": None,
    "embedded": None,
    "texts": None,
    "created_at": "2026-03-02T09:00:00Z",
    "started_at": "2026-03-02T09:00:00.010000Z",
    "finished_at": "2026-03-02T09:00:00.250000Z",
}


class JobErrorReply(BaseModel):
    """Why a document was not stored."""

    id: str | None = Field(description="None where the line has none that can be read.")
    line: int | None = Field(description="Of a batch, from 1; blank lines count.")
    code: str
    message: str


class JobReply(BaseModel):
    """A job: succeeded means that every document is durable and searchable, but for those that are empty."""

    model_config = examples(_JOB)

    id: str
    collection: str
    kind: Kind
    document_id: str | None = Field(description="None for a batch.")
    status: Status
    done: int = Field(description="Documents whose outcome is known.")
    total: int
    outcomes: Mapping[str, int] = Field(
        description="Of them: created, updated, unchanged, superseded by a later write, skipped as empty, failed."
    )
    errors: list[JobErrorReply] = Field(description="The first hundred.")
    index_version: int | None = Field(description="With the last document that was written.")
    waits_for: str | None = Field(description="What it met and is tried again after.")
    embedded: int | None = Field(description="Of `texts`, those whose vectors are made.")
    texts: int | None = Field(
        description="Chunks and sentences of a job's one document; None for a batch, and when it is not being embedded."
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @classmethod
    def of(cls, job: Job, waits_for: str = "", texts: tuple[int, int] | None = None) -> Self:
        """The wire form; ``texts`` as in ``Progress``."""
        outcome = job.outcome
        return cls(
            id=job.id,
            collection=job.collection,
            kind=job.kind,
            document_id=job.ask.document_id,
            status=job.status,
            done=outcome.done,
            total=job.total,
            outcomes=dict(outcome.counts),
            errors=[JobErrorReply.model_validate(error, from_attributes=True) for error in outcome.errors],
            index_version=outcome.index_version,
            waits_for=waits_for or None,
            embedded=None if texts is None else texts[0],
            texts=None if texts is None else texts[1],
            created_at=datetime.fromtimestamp(job.created_at, UTC),
            started_at=_time(job.started_at),
            finished_at=_time(job.finished_at),
        )


class JobPage(BaseModel):
    """Jobs, the newest first; ``next_cursor`` is None on the last page."""

    model_config = examples({"data": [_JOB], "next_cursor": None})

    data: list[JobReply]
    next_cursor: str | None


class BatchJobReply(BaseModel):
    """A batch that was accepted as a job."""

    model_config = examples({"job_id": _JOB["id"], "total": 2, "status": "queued"})

    job_id: str
    total: int = Field(description="Lines that are not blank.")
    status: Status


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
