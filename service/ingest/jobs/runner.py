"""JobRunner: carries open jobs out, again after what passes, and ends them."""

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Self

from indexes.errors import CollectionNotFoundError, IndexesError
from service.bulk_hold import BulkHold
from service.errors import BulkHeldError, EmptyDocumentError, JobCancelledError, JobInputError, ParserLostError
from service.ingest.jobs.board import JobBoard
from service.ingest.jobs.fair_jobs import FairJobs
from service.ingest.jobs.job import JobError, Status
from service.ingest.jobs.open_job import OpenJob, Progress
from service.ingest.jobs.work import JobWork
from service.job_settings import JobSettings

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_MAX_DOUBLINGS = 10
_PRUNE_EVERY_S = 60.0
# A commit that has begun is waited for, and takes no longer.
_CANCELLED_WITHIN_S = 60.0

_log = logging.getLogger("quarry.jobs")


class JobRunner:
    """A bounded number of jobs at a time; an async context manager that the lifespan owns.

    A job during which a process died is suspected to be the cause, and runs while no other suspect does: so those that
    ran beside it are tried once more, and not counted out together with it.

    Args:
        hold: what a job passes before it begins.
        is_there: whether the collection of a job's place still exists.
        on_end: called with kind and status of every job that ends.
    """

    def __init__(
        self,
        board: JobBoard,
        work: JobWork,
        settings: JobSettings,
        hold: BulkHold,
        is_there: Callable[[OpenJob], bool],
        on_end: Callable[[str, str], None],
    ) -> None:
        self._board = board
        self._work = work
        self._settings = settings
        self._hold = hold
        self._is_there = is_there
        self._on_end = on_end
        self._waiting = FairJobs(settings.concurrency)
        self._running: set[OpenJob] = set()
        self._pausing: dict[OpenJob, asyncio.TimerHandle] = {}
        self._is_closing = False

    async def __aenter__(self) -> Self:
        """Take up what the last process left."""
        self._board.on_accept = self.add
        for job in self._board.open_jobs():
            if job.place is not None:
                self.add(job)
        self._pruning = asyncio.create_task(self._prune_regularly(), name="jobs-pruning")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_closing = True
        for pause in self._pausing.values():
            pause.cancel()
        await self._board.settled()
        left = [job for job in self._running if job.task]
        tasks = [self._pruning, *(job.task for job in left if job.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await self._board.give_up(left)
        except IndexesError as error:
            _log.warning("attempts that this process ended will count as if it had died: %s", error)

    def add(self, job: OpenJob) -> None:
        """Carry a job out, as soon as it is its turn."""
        self._waiting.put(job)
        self._fill()

    async def cancel(self, job: OpenJob) -> None:
        """End a job; what it has written stays. One that is just ending ends as it would have.

        Raises:
            StoreUnavailableError: nothing was promised.
        """
        await self._decide(job, "cancelled", JobCancelledError(job.job.id))

    async def drop(self, name: str) -> None:
        """End the jobs of a collection of that name which was deleted.

        Raises:
            StoreUnavailableError: nothing was promised; each of them ends by itself when its turn comes.
        """
        for job in self._board.open_jobs():
            if job.job.collection == name and not self._is_there(job):
                await self._decide(job, "failed", CollectionNotFoundError(name))

    async def _decide(self, job: OpenJob, status: Status, why: Exception) -> None:
        if not job.is_ending and not job.ended.is_set():
            job.fate = (status, why)
            if job.task is not None:
                job.task.cancel()
            else:
                await self._end_waiting(job)
        await job.wait(_CANCELLED_WITHIN_S)

    async def _end_waiting(self, job: OpenJob) -> None:
        """One that is in nobody's hands."""
        self._waiting.remove(job)
        pause = self._pausing.pop(job, None)
        if pause:
            pause.cancel()
        try:
            await self._end_by_fate(job)
        except IndexesError:
            job.fate = None
            if job.place is not None:
                self.add(job)
            raise

    def _fill(self) -> None:
        """Begin what may begin."""
        while not self._is_closing:
            job = self._waiting.take(suspects=not any(job.is_suspect for job in self._running))
            if job is None:
                return
            self._running.add(job)
            job.task = asyncio.create_task(self._carried_out(job), name=f"job {job.job.id}")

    async def _carried_out(self, job: OpenJob) -> None:
        try:
            try:
                await self._tried(job)
            except Exception as error:  # a loop edge: whatever one job meets, the others are still to be carried out
                await self._met(job, error)
        except asyncio.CancelledError:
            if job.fate is None:
                raise
            await self._ended_or_tried_later(job)
        finally:
            self._running.discard(job)
            self._waiting.leave(job)
            job.task = None
            self._fill()

    async def _tried(self, job: OpenJob) -> None:
        if job.job.attempts >= self._settings.attempts:
            raise JobInputError(
                f"the process ended {job.job.attempts} times while it carried this out; jobs.attempts is "
                f"{self._settings.attempts}"
            )
        if not self._is_there(job) or job.place is None:
            raise CollectionNotFoundError(job.job.collection)
        async with self._hold.step(math.inf):
            pass  # what the job does for long passes the gate itself
        job.progress, job.trouble = Progress(), ""
        await self._board.begin(job)
        await self._work.run(job, job.place)
        has_failed = job.progress.outcome().counts.get("failed", 0)
        await self._end(job, "failed" if has_failed else "succeeded")

    async def _met(self, job: OpenJob, error: Exception) -> None:
        """Try again later where that may help; else the job has failed."""
        error = self._counted(job, error)
        verdict = self._work.judge(error)
        now = asyncio.get_running_loop().time()
        if not job.retries or isinstance(error, BulkHeldError):  # what waits for the gate may wait for ever
            job.retrying_since = now
        if verdict.is_passing and now - job.retrying_since < self._settings.patience_s:
            await self._later(job, verdict.message)
            return
        job.fate = ("succeeded" if isinstance(error, EmptyDocumentError) else "failed", error)
        await self._ended_or_tried_later(job)

    def _counted(self, job: OpenJob, error: Exception) -> Exception:
        """The error; of a file whose parsers are lost again and again that it is the file."""
        if not isinstance(error, ParserLostError):
            return error
        job.lost_parsers += 1
        if job.lost_parsers < self._settings.attempts:
            return error
        return JobInputError(f"{error}, the last of {job.lost_parsers}; jobs.attempts is {self._settings.attempts}")

    async def _ended_or_tried_later(self, job: OpenJob) -> None:
        try:
            await self._end_by_fate(job)
        except IndexesError as error:
            job.fate = None
            await self._later(job, str(error))

    async def _end_by_fate(self, job: OpenJob) -> None:
        assert job.fate is not None  # noqa: S101  whoever calls has decided it
        status, job.error = job.fate
        if status != "cancelled" and job.error is not None:
            verdict = self._work.judge(job.error)
            outcome = "failed" if status == "failed" else "skipped"
            job.progress.failed(JobError(job.job.ask.document_id, verdict.code, verdict.message), outcome)
        await self._end(job, status)

    async def _end(self, job: OpenJob, status: Status) -> None:
        job.is_ending = True
        try:
            await self._board.end(job, status)
        finally:
            job.is_ending = False
        self._on_end(job.job.kind, status)
        counts = dict(job.job.outcome.counts)
        _log.info("job ended", extra={"job": job.job.id, "kind": job.job.kind, "status": status, "documents": counts})

    async def _later(self, job: OpenJob, why: str) -> None:
        job.trouble = why
        pause = min(_FIRST_PAUSE_S * 2 ** min(job.retries, _MAX_DOUBLINGS), _LONGEST_PAUSE_S)
        job.retries += 1
        _log.warning("job waits", extra={"job": job.job.id, "why": why, "retries": job.retries, "pause_s": pause})
        try:
            await self._board.give_up([job])  # the process survived it
            job.forgive()
        except IndexesError as error:
            _log.warning("an attempt counts as if the process had died: %s", error)
        if not self._is_closing:
            self._pausing[job] = asyncio.get_running_loop().call_later(pause, self._again, job)

    def _again(self, job: OpenJob) -> None:
        self._pausing.pop(job, None)
        self.add(job)

    async def _prune_regularly(self) -> None:
        while True:
            try:
                await self._board.prune()
            except IndexesError as error:
                _log.warning("jobs that ended long ago are not forgotten: %s", error)
            await asyncio.sleep(_PRUNE_EVERY_S)
