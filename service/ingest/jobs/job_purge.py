"""Purging of jobs: what a purge promises of a collection holds for the raw inputs and rows of its jobs too."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from indexes.erasure import Proof
from indexes.errors import CollectionConflictError, StoreUnavailableError
from service.ingest.jobs.board import JobBoard
from service.ingest.jobs.job import Job
from service.ingest.jobs.runner import JobRunner
from service.ingest.jobs.store import JobStore
from service.ingest.mirror import Mirror
from service.ingest.place import Place

_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class LiveJobPurge:
    """Of a server; called from another thread than that of ``loop``."""

    board: JobBoard
    runner: JobRunner
    store: JobStore
    mirror: Mirror
    loop: asyncio.AbstractEventLoop

    def refuse_batches(self, name: str) -> None:
        """See ``JobPurge``."""
        _refuse_batches(name, [job.job for job in self.board.open_jobs()])

    def withdraw(self, name: str, doomed: Sequence[str], place: Place) -> None:
        """See ``JobPurge``."""
        route, ids = self.mirror.route(name), set(doomed)
        for job in self.board.open_jobs():
            ask, there = job.job.ask, job.place
            if job.job.collection != name or ask.document_id is None or (there and there.ticket > place.ticket):
                continue
            is_gone = there is not None and there.is_overtaken(route, ask.document_id, ask.metadata)
            if ask.document_id in ids or is_gone:
                asyncio.run_coroutine_threadsafe(self.runner.cancel(job), self.loop).result(_WITHIN_S)
                if not job.ended.is_set():
                    raise StoreUnavailableError(f"job {job.job.id!r} does not end; purge again")
        self.store.forget(name, doomed)

    def erase(self, needles: Sequence[bytes]) -> Proof:
        """See ``JobPurge``."""
        return self.store.erase(needles)


@dataclass(frozen=True, slots=True)
class OfflineJobPurge:
    """Of a data directory that no server has; the jobs wait for the next one."""

    store: JobStore
    waiting: Sequence[Job]

    def refuse_batches(self, name: str) -> None:
        """See ``JobPurge``."""
        _refuse_batches(name, self.waiting)

    def withdraw(self, name: str, doomed: Sequence[str], place: Place) -> None:
        """See ``JobPurge``; every job was accepted before."""
        ids = set(doomed)
        for job in self.waiting:
            is_older = place.collection is not None and place.collection.is_overtaken(
                str(job.ask.document_id), job.ask.metadata, job.seq
            )
            if job.collection == name and (job.ask.document_id in ids or is_older):
                self.store.end(job, "cancelled", job.outcome)
        self.store.forget(name, doomed)

    def erase(self, needles: Sequence[bytes]) -> Proof:
        """See ``JobPurge``."""
        return self.store.erase(needles)


def _refuse_batches(name: str, jobs: Sequence[Job]) -> None:
    batches = [job.id for job in jobs if job.collection == name and job.kind == "batch"]
    if batches:
        raise CollectionConflictError(
            f"{len(batches)} batches for collection {name!r} are not written yet, and may hold what is to go: wait for "
            f"them or cancel them, then purge; the first is job {batches[0]!r}"
        )
