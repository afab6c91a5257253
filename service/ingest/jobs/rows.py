"""Jobs as rows: the schema of their database, and both ways between a row and a ``Job``."""

import json
from dataclasses import asdict
from typing import Any

import orjson

from service.ingest.jobs.job import ENDED, Ask, Job, JobError, Outcome, Raw

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE jobs (
    row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, collection TEXT NOT NULL, identity TEXT NOT NULL,
    seq INTEGER NOT NULL, kind TEXT NOT NULL, caller TEXT NOT NULL, ask TEXT NOT NULL, raw_bytes INTEGER NOT NULL,
    raw_sha256 BLOB NOT NULL, total INTEGER NOT NULL, status TEXT NOT NULL, attempts INTEGER NOT NULL,
    outcome TEXT NOT NULL, created_at REAL NOT NULL, started_at REAL, finished_at REAL);
CREATE INDEX jobs_by_status ON jobs(status, row);
"""
COLUMNS = (
    "row, id, collection, identity, seq, kind, caller, ask, raw_bytes, raw_sha256, total, status, attempts, outcome, "
    "created_at, started_at, finished_at"
)
INSERT = f"INSERT INTO jobs ({COLUMNS}) VALUES ({', '.join('?' * 17)})"  # noqa: S608

REPLACE = INSERT.replace("INSERT", "REPLACE", 1)

_KINDS = {"file", "text", "batch"}
_STATUSES = {"queued", "running", *ENDED}


def row_of(job: Job) -> tuple[Any, ...]:
    """The values of ``COLUMNS``; a new job's row is None."""
    # Not orjson: the guard is a filter, and may have an integer beyond 64 bits.
    named = (job.row or None, job.id, job.collection, job.identity, job.seq, job.kind, job.caller)
    asked = (json.dumps(asdict(job.ask)), job.raw.size, job.raw.sha256, job.total)
    came = (job.status, job.attempts, outcome_text(job.outcome))
    return (*named, *asked, *came, job.created_at, job.started_at, job.finished_at)


def outcome_text(outcome: Outcome) -> str:
    """As it is stored."""
    return orjson.dumps(asdict(outcome)).decode()


def job_of(row: tuple[Any, ...]) -> Job:
    """The job of a row.

    Raises:
        ValueError, TypeError, KeyError, RecursionError: the row is damaged.
    """
    number, id_, collection, identity, seq, kind, caller, ask, size, sha256, total, status, attempts, came, *times = row
    numbers = (seq, size, total, attempts)
    if kind not in _KINDS or status not in _STATUSES or not all(isinstance(value, int) for value in numbers):
        raise ValueError(f"kind {kind!r}, status {status!r} or one of the numbers {numbers} is none")
    if not isinstance(sha256, bytes) or not all(
        isinstance(value, str) for value in (id_, collection, identity, caller)
    ):
        raise TypeError("a text or the checksum is none")
    asked, outcome = Ask(**json.loads(ask)), orjson.loads(came)
    if asked.document_id is None and kind != "batch":
        raise ValueError("it names no document")
    errors = tuple(JobError(**error) for error in outcome.pop("errors"))
    return Job(
        number, id_, collection, identity, seq, kind, caller, asked, Raw(size, sha256), total, status, attempts,
        Outcome(**outcome, errors=errors), *times,
    )  # fmt: skip


def damaged_job(row: tuple[Any, ...], error: JobError) -> Job:
    """A job that failed, in the place of a row that ``job_of`` cannot read."""
    texts = [value if isinstance(value, str) else "" for value in row[1:3]]
    outcome = Outcome(counts={"failed": 1}, errors=(error,))
    when = row[14] if isinstance(row[14], float) else 0.0
    return Job(
        row[0], texts[0] or f"damaged-{row[0]}", texts[1], "", 0, "batch", "", Ask(), Raw(0, b""), 0, "failed", 0,
        outcome, when, None, when,
    )  # fmt: skip
