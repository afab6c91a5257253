"""JobStore: every job in a SQLite file of its own, and beside it the raw inputs of those that are open."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from indexes.database import SqliteDatabase
from indexes.durable import make_folder, move
from indexes.erasure import Proof, erase, search_files
from indexes.errors import IndexesError, StoreUnavailableError
from indexes.writer import GroupCommitWriter
from service.ingest.jobs import rows
from service.ingest.jobs.job import ENDED, Job, JobError, Outcome, Status
from service.ingest.jobs.jobs_wanted import JobsWanted
from service.ingest.jobs.raw_inputs import RawInputs

FOLDER, _DATABASE, _RAW = "jobs", "jobs.db", "raw"
_OPEN = "status NOT IN ('succeeded', 'failed', 'cancelled')"
# Of SQLite, for a file that holds something else than it wrote; a disk that is full or busy is no damage.
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
_DAMAGED = JobError(None, "job_damaged", "what was stored of the job is damaged")


class JobStore:
    """Everything here is on the disk when a call returns; any thread may call. Under the data directory's lock.

    Writes have a thread of their own, so that neither they nor those of collections wait for each other.

    Raises:
        StoreUnavailableError: the file cannot be opened or read.
    """

    def __init__(self, folder: Path) -> None:
        try:
            make_folder(folder)
        except OSError as error:
            raise StoreUnavailableError(f"cannot create {folder}: {error.strerror}") from error
        self._folder = folder
        self.raw = RawInputs(folder / _RAW)
        self._database = SqliteDatabase(folder / _DATABASE, rows.SCHEMA, rows.SCHEMA_VERSION)
        self._writer = GroupCommitWriter()

    def close(self) -> None:
        """Finish the writes that are queued, and close the file."""
        self._writer.close()
        self._database.close()

    def add(self, job: Job) -> Job:
        """Store a new job; with its row.

        Raises:
            StoreUnavailableError: nothing was promised, as in all that write.
        """

        def work(connection: sqlite3.Connection) -> int:
            return int(connection.execute(rows.INSERT, rows.row_of(job)).lastrowid or 0)

        return replace(job, row=self._writer.write(self._database, work))

    def begin(self, job: Job) -> Job:
        """Note that an attempt begins, before it does."""
        begun = replace(job, status="running", attempts=job.attempts + 1, started_at=job.started_at or time.time())
        self._write(
            "UPDATE jobs SET status = ?, attempts = ?, started_at = ? WHERE id = ?",
            (begun.status, begun.attempts, begun.started_at, job.id),
        )
        return begun

    def give_up(self, job_ids: Iterable[str]) -> None:
        """Note that the process ended attempts itself: they are made again and count for nothing."""
        listed = orjson.dumps(list(job_ids)).decode()
        self._write(
            "UPDATE jobs SET status = 'queued', attempts = 0 WHERE status = 'running' "
            "AND id IN (SELECT value FROM json_each(?))",
            (listed,),
        )

    def end(self, job: Job, status: Status, outcome: Outcome) -> Job:
        """Note how a job ended, forget what it was asked for, and remove its raw input."""
        ask = replace(job.ask, name="", title="", metadata={}, url=None)
        ended = replace(job, status=status, outcome=outcome, ask=ask, finished_at=time.time())
        self._write(rows.REPLACE, rows.row_of(ended))
        with suppress(StoreUnavailableError):  # the next start removes it
            self.raw.remove(job.id)
        return ended

    def place(self, places: Iterable[tuple[str, str, int]]) -> None:
        """Note other places in the order of writes: (job id, identity of the collection, number there)."""

        def work(connection: sqlite3.Connection) -> None:
            moved = [(identity, seq, job_id) for job_id, identity, seq in places]
            connection.executemany("UPDATE jobs SET identity = ?, seq = ? WHERE id = ?", moved)

        self._writer.write(self._database, work)

    def get(self, job_id: str) -> Job | None:
        """A job, or None.

        Raises:
            StoreUnavailableError: it cannot be read.
        """
        found = self._read("WHERE id = ?", (job_id,))
        return found[0] if found else None

    def page(self, wanted: JobsWanted, limit: int) -> list[Job]:
        """Up to ``limit`` jobs, the newest first."""
        tests = wanted.tests()
        where = f"WHERE {' AND '.join(tests)}" if tests else ""
        return self._read(f"{where} ORDER BY row DESC LIMIT ?", (*tests.values(), limit))

    def take_up(self) -> list[Job]:
        """The jobs that are open, in the order of their places, after a start; what is damaged has failed then.

        Raw inputs that belong to none of them are removed.
        """
        open_jobs = []
        for job in self._read(f"WHERE {_OPEN} OR status IS NULL", ()):
            if job.has_ended:
                self._write(rows.REPLACE, rows.row_of(job))
            else:
                open_jobs.append(job)
        self.raw.remove_all_but({job.id for job in open_jobs})
        return sorted(open_jobs, key=lambda job: (job.seq, job.row))

    def prune(self, keep: int, keep_s: float) -> None:
        """Forget the jobs that ended before that, and all but the last ``keep`` of those that ended."""
        ended = "SELECT row FROM jobs WHERE status IN (?, ?, ?) ORDER BY finished_at DESC, row DESC LIMIT -1 OFFSET ?"
        self._write(
            f"DELETE FROM jobs WHERE NOT {_OPEN} AND (finished_at < ? OR row IN ({ended}))",  # noqa: S608
            (time.time() - keep_s, *ENDED, keep),
        )

    def forget(self, collection: str, document_ids: Sequence[str]) -> None:
        """Delete the ended jobs of documents that are purged, and those of batches, which may name them."""
        self._write(
            f"DELETE FROM jobs WHERE NOT {_OPEN} AND collection = ? AND (kind = 'batch' "  # noqa: S608
            "OR json_extract(ask, '$.document_id') IN (SELECT value FROM json_each(?)))",
            (collection, orjson.dumps(list(document_ids)).decode()),
        )

    def erase(self, needles: Sequence[bytes]) -> Proof:
        """Remove from the files what was deleted, and look for ``needles`` in them.

        Returns:
            Needles that open jobs contain are not counted as found: those jobs are to be carried out.

        Raises:
            ErasureError: it cannot be removed or looked for.
            StoreUnavailableError: the file cannot be rewritten.
        """
        erase(self._writer, self._database)
        proof = search_files(self._folder, needles)
        in_raw = {place.needle for place in proof.found if Path(place.file).parent.name == _RAW}
        in_rows = {place.needle for place in proof.found if self._is_asked_for(needles[place.needle])}
        shared = in_raw | in_rows
        return replace(proof, found=tuple(p for p in proof.found if p.needle not in shared), shared=len(shared))

    def _is_asked_for(self, needle: bytes) -> bool:
        with self._database.reading() as connection:
            query = f"SELECT EXISTS (SELECT 1 FROM jobs WHERE {_OPEN} AND instr(CAST(ask AS BLOB), ?))"  # noqa: S608
            return bool(connection.execute(query, (needle,)).fetchone()[0])

    def _read(self, where: str, values: Sequence[Any]) -> list[Job]:
        with self._database.reading() as connection:
            found = connection.execute(f"SELECT {rows.COLUMNS} FROM jobs {where}", values).fetchall()  # noqa: S608
        return [_job_or_damage(row) for row in found]

    def _write(self, statement: str, values: Sequence[Any]) -> None:
        self._writer.write(self._database, partial(_execute, statement=statement, values=values))


def open_or_set_aside(folder: Path) -> tuple[JobStore, list[Job], str]:
    """The store, its open jobs, and what is to be said: a damaged file costs its jobs, and nothing else.

    Raises:
        DataDirectoryError: a newer program wrote the file.
        StoreUnavailableError: it cannot be opened now, for a reason that is no damage and costs no job.
    """
    store: JobStore | None = None
    try:
        store = JobStore(folder)
        return store, store.take_up(), ""
    except IndexesError as error:
        if store is not None:
            store.close()
        if not _is_damage(error):
            raise
        aside = folder.with_name(f"{folder.name}.damaged-{time.time_ns()}")
        try:
            move(folder, aside)
        except OSError:
            raise error from None
        return (
            JobStore(folder),
            [],
            f"{error}; its jobs are lost to this server; {aside} keeps their files, which no purge reaches",
        )


def _is_damage(error: IndexesError) -> bool:
    cause = error.__cause__
    if not isinstance(cause, sqlite3.DatabaseError):
        return False
    # Without a code it is Python that failed, at bytes that are no text.
    return getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DAMAGE


def _execute(connection: sqlite3.Connection, statement: str, values: Sequence[Any]) -> None:
    connection.execute(statement, values)


def _job_or_damage(row: tuple[Any, ...]) -> Job:
    """A row that makes no sense is a job that failed: its id is kept, where it has one."""
    try:
        return rows.job_of(row)
    except (ValueError, TypeError, KeyError, RecursionError):
        return rows.damaged_job(row, _DAMAGED)
