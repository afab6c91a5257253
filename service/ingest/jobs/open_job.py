"""OpenJob: a job as the process that carries it out has it."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field, replace

from service.ingest.ingestor import Written
from service.ingest.jobs.job import MAX_ERRORS, Job, JobError, Outcome, Status
from service.ingest.place import Place


class Progress:
    """What is known of a job's documents, while they are written.

    Attributes:
        texts: of a job that has one document, its chunks and sentences: how many are embedded, and of how many; None
            before that is known.
    """

    def __init__(self) -> None:
        self.texts: tuple[int, int] | None = None
        self._counts: Counter[str] = Counter()
        self._errors: list[JobError] = []
        self._version: int | None = None

    def wrote(self, written: Written) -> None:
        """A document is where it should be."""
        self._version = max(self._version or 0, written.index_version)
        self.count("superseded" if written.is_superseded else written.status)

    def embedded(self, embedded: int, texts: int) -> None:
        """So many texts of the one document, of so many."""
        self.texts = (embedded, texts)

    def count(self, outcome: str) -> None:
        """A document has come to that."""
        self._counts[outcome] += 1

    def failed(self, error: JobError, outcome: str = "failed") -> None:
        """A document was not stored."""
        self._counts[outcome] += 1
        if len(self._errors) < MAX_ERRORS:
            self._errors.append(error)

    def outcome(self) -> Outcome:
        """As it is now."""
        errors = sorted(self._errors, key=lambda error: error.line or 0)
        return Outcome(self._counts.total(), dict(self._counts), tuple(errors), self._version)


@dataclass(eq=False, slots=True)
class OpenJob:
    """One that has not ended, or has ended just now and is waited for.

    Attributes:
        place: None where the collection cannot be opened: the job waits for a start at which it can.
        is_resumed: an earlier process accepted it.
        is_suspect: that process died while it carried it out.
        written: of the document of a job that has one, once it is.
        error: why it failed, or stored nothing.
        trouble: what it waits for, after a failure that passes.
        retries: since the process started.
        lost_parsers: processes that were lost while they read its file, likewise.
        retrying_since: of the loop's clock, in seconds.
        fate: what it is to end as, where that was decided elsewhere: cancelled, failed for a reason, or succeeded as
            there is no text to store.
    """

    job: Job
    place: Place | None
    is_resumed: bool = False
    is_suspect: bool = False
    is_ending: bool = False
    progress: Progress = field(default_factory=Progress)
    written: Written | None = None
    error: Exception | None = None
    trouble: str = ""
    retries: int = 0
    lost_parsers: int = 0
    retrying_since: float = 0.0
    fate: tuple[Status, Exception | None] | None = None
    task: "asyncio.Task[None] | None" = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def seen(self) -> Job:
        """The job as it is now."""
        return self.job if self.job.has_ended else replace(self.job, outcome=self.progress.outcome())

    def forgive(self) -> None:
        """The process survived the attempt, so it counts for nothing."""
        self.job = replace(self.job, status="queued", attempts=0)

    async def wait(self, seconds: float) -> bool:
        """Whether it ends within that time."""
        try:
            async with asyncio.timeout(seconds):
                await self.ended.wait()
        except TimeoutError:
            return self.ended.is_set()
        return True
