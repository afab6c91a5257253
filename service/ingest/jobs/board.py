"""JobBoard: every job there is, the open ones in memory; where jobs are accepted, looked up and ended."""

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeVar

from service.errors import JobNotFoundError, OverloadedError
from service.ingest.jobs.job import Ask, Job, Kind, Status
from service.ingest.jobs.jobs_wanted import JobsWanted
from service.ingest.jobs.open_job import OpenJob
from service.ingest.jobs.raw_inputs import Incoming
from service.ingest.jobs.store import JobStore
from service.ingest.place import Place
from service.job_settings import JobSettings

T = TypeVar("T")

_THREADS = 8
_RETRY_AFTER_S = 5.0
_LOOK_EVERY_BYTES = 1 << 20  # of an upload that arrives: the open jobs are summed up for that


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job as a route asks for it; ``total`` documents."""

    kind: Kind
    caller: str
    ask: Ask
    total: int = 1


@dataclass(frozen=True, slots=True)
class BoardState:
    """The open jobs in numbers; ``oldest_s`` is the age of the oldest in seconds."""

    queued: int
    running: int
    oldest_s: float
    raw_bytes: int
    set_aside: int


class JobBoard:
    """On the event loop, but for ``moved``. A context manager that owns its threads.

    Attributes:
        raw: the raw inputs of open jobs.
        on_accept: called with every job that is accepted.
    """

    def __init__(self, store: JobStore, settings: JobSettings) -> None:
        self.raw = store.raw
        self.on_accept: Callable[[OpenJob], None] = lambda _: None
        self._store = store
        self._settings = settings
        self._open: dict[str, OpenJob] = {}
        self._incoming: set[Incoming] = set()
        self._accepting: set[asyncio.Task[OpenJob]] = set()
        self._accepting_bytes = 0
        # Writes only wait, and more of them at a time share one fsync.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="quarry-jobs")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def open_jobs(self) -> list[OpenJob]:
        """Those that have not ended, in the order in which they were accepted."""
        return list(self._open.values())

    def take_up(self, job: Job, place: Place | None) -> OpenJob:
        """A job that an earlier process accepted."""
        opened = OpenJob(job, place, is_resumed=True, is_suspect=job.attempts > 0)
        self._open[job.id] = opened
        return opened

    def check_room(self, size: int = 0) -> None:
        """Raise where a job whose raw input has so many bytes would not be accepted now.

        Raises:
            OverloadedError: too many jobs are open, or too many bytes of them.
        """
        jobs, limits = len(self._open) + len(self._accepting), self._settings
        if jobs >= limits.max_open:
            raise OverloadedError(f"{jobs} jobs have not ended; jobs.max_open is {limits.max_open}", _RETRY_AFTER_S)
        held = self._raw_bytes() + self._accepting_bytes + sum(incoming.arrived_bytes for incoming in self._incoming)
        if held + size > limits.max_open_bytes:
            raise OverloadedError(
                f"the raw inputs of open jobs take {held} bytes, and this one {size}; jobs.max_open_bytes is "
                f"{limits.max_open_bytes}",
                _RETRY_AFTER_S,
            )

    async def receive(self) -> Incoming:
        """A place for the bytes of an upload, which count from now on; given back to ``submit`` or ``discard``.

        Raises:
            OverloadedError: no job would be accepted.
            StoreUnavailableError: no file can be made.
        """
        self.check_room()
        incoming = await self.in_thread(self.raw.receive)
        self._incoming.add(incoming)
        return incoming

    def arrived(self, incoming: Incoming, size: int) -> None:
        """So many bytes more of an upload are here.

        Raises:
            OverloadedError: with them there are too many.
        """
        before, incoming.arrived_bytes = incoming.arrived_bytes, incoming.arrived_bytes + size
        if before // _LOOK_EVERY_BYTES != incoming.arrived_bytes // _LOOK_EVERY_BYTES:
            self.check_room()

    async def discard(self, incoming: Incoming) -> None:
        """Remove what was received."""
        self._incoming.discard(incoming)
        await self.in_thread(incoming.discard)

    async def submit(self, new: NewJob, place: Place, incoming: Incoming) -> OpenJob:
        """Accept a job: when this returns, job and raw input are on the disk. A caller who leaves does not undo it.

        Raises:
            OverloadedError: see ``check_room``.
            StoreUnavailableError: nothing was promised, and nothing is left.
        """
        self._incoming.discard(incoming)
        try:
            self.check_room(incoming.raw.size)
        except OverloadedError:
            await self.discard(incoming)
            raise
        accepting = asyncio.create_task(self._accepted(new, place, incoming), name="accepting a job")
        self._accepting.add(accepting)
        self._accepting_bytes += incoming.raw.size
        accepting.add_done_callback(partial(self._accepted_or_not, incoming.raw.size))
        return await asyncio.shield(accepting)

    def is_open(self, job_id: str) -> OpenJob | None:
        """The job, if it has not ended."""
        return self._open.get(job_id)

    async def find(self, job_id: str) -> Job:
        """A job as it is now.

        Raises:
            JobNotFoundError: there is none of that id, or none any more.
        """
        opened = self._open.get(job_id)
        job = opened.seen() if opened else await self.in_thread(partial(self._store.get, job_id))
        if job is None:
            raise JobNotFoundError(job_id)
        return job

    async def page(self, wanted: JobsWanted, limit: int) -> list[Job]:
        """As ``JobStore.page``, the open ones as they are now."""
        found = await self.in_thread(partial(self._store.page, wanted, limit))
        return [self._open[job.id].seen() if job.id in self._open else job for job in found]

    async def begin(self, job: OpenJob) -> None:
        """See ``JobStore.begin``."""
        job.job = await self.in_thread(partial(self._store.begin, job.job))

    async def end(self, job: OpenJob, status: Status) -> None:
        """End a job as what its progress says; whoever waits for it goes on.

        Raises:
            StoreUnavailableError: it is as open as before.
        """
        job.job = await self.in_thread(partial(self._store.end, job.job, status, job.progress.outcome()))
        self._open.pop(job.job.id, None)
        job.ended.set()

    async def give_up(self, jobs: Iterable[OpenJob]) -> None:
        """See ``JobStore.give_up``."""
        ids = [job.job.id for job in jobs]
        if ids:
            await self.in_thread(partial(self._store.give_up, ids))

    async def prune(self) -> None:
        """Forget what ended long ago."""
        await self.in_thread(partial(self._store.prune, self._settings.keep_ended, self._settings.keep_ended_s))

    def moved(self, name: str) -> None:
        """The name leads elsewhere: note the new places of its jobs. On the thread that moved it."""
        there = [job for job in list(self._open.values()) if job.job.collection == name]
        placed = [(job.job.id, job.place) for job in there if job.place and job.place.collection]
        self._store.place([(id_, place.collection.identity, place.seq) for id_, place in placed if place.collection])

    async def settled(self) -> None:
        """Wait for the jobs that are being accepted."""
        await asyncio.gather(*self._accepting, return_exceptions=True)

    def describe(self) -> BoardState:
        """The open jobs in numbers."""
        jobs = self.open_jobs()
        running = sum(job.task is not None for job in jobs)
        oldest = min((job.job.created_at for job in jobs), default=time.time())
        aside = sum(job.place is None for job in jobs)
        return BoardState(len(jobs) - running, running, max(0.0, time.time() - oldest), self._raw_bytes(), aside)

    async def in_thread(self, call: Callable[[], T]) -> T:
        """On one of the threads for jobs."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _accepted(self, new: NewJob, place: Place, incoming: Incoming) -> OpenJob:
        collection, seq = place.collection, place.seq
        if collection is None:
            await self.in_thread(incoming.discard)
            raise OverloadedError(f"the name {place.name!r} is moving to another form at this very moment", 1.0)
        job = Job(
            0, str(uuid.uuid4()), place.name, collection.identity, seq, new.kind, new.caller, new.ask,
            incoming.raw, new.total, created_at=time.time(),
        )  # fmt: skip
        opened = OpenJob(await self.in_thread(partial(self._stored, job, incoming)), place)
        self._open[job.id] = opened
        if place.collection is not collection:  # it moved in the meantime, when nobody knew of this job
            await self.in_thread(partial(self.moved, place.name))
        self.on_accept(opened)
        return opened

    def _stored(self, job: Job, incoming: Incoming) -> Job:
        self.raw.keep(incoming, job.id)
        try:
            return self._store.add(job)
        except BaseException:
            self.raw.remove(job.id)
            raise

    def _accepted_or_not(self, size: int, task: "asyncio.Task[OpenJob]") -> None:
        self._accepting.discard(task)
        self._accepting_bytes -= size

    def _raw_bytes(self) -> int:
        return sum(job.job.raw.size for job in self._open.values())
