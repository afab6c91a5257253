"""The nouns: a job, what it was asked for, what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from indexes.filters import parse_filter
from service.ingest.writer import Writer

# A file that is one document, the text of one, or lines of NDJSON that are one each.
Kind = Literal["file", "text", "batch"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED: tuple[Status, ...] = ("succeeded", "failed", "cancelled")
MAX_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Ask:
    """What a job was asked for, beside its raw input; forgotten when it has ended.

    Attributes:
        document_id: None for a batch.
        name: of the file, as its sender calls it.
        title: empty where the file says it itself.
        guard: as ``Writer.guard``, in JSON: what its sender could write when it sent it.
    """

    document_id: str | None = None
    name: str = ""
    title: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    url: str | None = None
    guard: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Raw:
    """The raw input: its bytes on the disk, how many and their SHA-256."""

    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a document was not stored; ``line`` counts from 1 in a batch."""

    id: str | None
    code: str
    message: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job so far.

    Attributes:
        done: documents whose outcome is known.
        counts: of them by outcome: created, updated, unchanged, superseded, skipped, failed.
        errors: the first ``MAX_ERRORS``, by line.
        index_version: of the collection with the last document that was written.
    """

    done: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    errors: Sequence[JobError] = ()
    index_version: int | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it is stored.

    Attributes:
        row: ascending in the order of acceptance.
        id: nobody can guess it.
        identity: of the collection in whose order of writes ``seq`` is the job's place.
        caller: whose share of the device it counts against.
        total: documents.
        attempts: that have begun and neither ended nor were given up by a process that went on.
        created_at: Unix time, as all of them.
    """

    row: int
    id: str
    collection: str
    identity: str
    seq: int
    kind: Kind
    caller: str
    ask: Ask
    raw: Raw
    total: int
    status: Status = "queued"
    attempts: int = 0
    outcome: Outcome = Outcome()
    created_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None

    @property
    def writer(self) -> Writer:
        """Who writes its documents."""
        return Writer(self.caller, None if self.ask.guard is None else parse_filter(self.ask.guard))

    @property
    def has_ended(self) -> bool:
        """Nothing more will happen."""
        return self.status in ENDED
