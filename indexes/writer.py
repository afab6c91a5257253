"""The one thread that writes to SQLite, committing whatever is waiting in one transaction.

A caller hands in work and blocks until it is durable and applied in memory. While one fsync runs, more callers queue
up; the next transaction takes them all, so the cost of an fsync is shared and no caller waits for a timer.
"""

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any, Generic, Protocol, TypeVar

from indexes.errors import StoreUnavailableError

T = TypeVar("T")

_MAX_WAITING = 4096
_MAX_GROUP = 512
_TIMEOUT_S = 30.0


class Database(Protocol):
    """Something with a connection for writing, which only the writer thread uses."""

    @property
    def write_connection(self) -> sqlite3.Connection:
        """In autocommit mode; the writer begins and commits."""

    def give_up_write_connection(self) -> None:
        """It is of no more use; ``write_connection`` is another one from then on."""


@dataclass(slots=True)
class _Job(Generic[T]):
    database: Database
    work: Callable[[sqlite3.Connection], T]
    applied: Callable[[T], None]
    is_alone: bool = False
    done: "Future[T]" = field(default_factory=Future)


class GroupCommitWriter:
    """Owns the writer thread; one for all collections of a data directory."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[_Job[Any] | None] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="quarry-writer", daemon=True)
        self._closed = False
        self._thread.start()

    def write(
        self,
        database: Database,
        work: Callable[[sqlite3.Connection], T],
        applied: Callable[[T], None] = lambda _: None,
    ) -> T:
        """Run ``work`` in a transaction, then ``applied`` on its result, both on the writer thread.

        Returns:
            What ``work`` returned, once it is on disk and applied.

        Raises:
            StoreUnavailableError: the queue stayed full, SQLite failed, or no commit came in time. In the last case
                the write may still happen.
        """
        return self._submit(_Job(database, work, applied), _TIMEOUT_S)

    def run_alone(
        self, database: Database, work: Callable[[sqlite3.Connection], T], timeout_s: float = _TIMEOUT_S
    ) -> T:
        """Run ``work`` outside of a transaction, for what SQLite allows there only. Every other write waits for it.

        Raises:
            StoreUnavailableError: as for ``write``; what ``work`` committed itself stays.
        """
        return self._submit(_Job(database, work, lambda _: None, is_alone=True), timeout_s)

    def _submit(self, job: _Job[T], timeout_s: float) -> T:
        try:
            if self._closed:
                raise StoreUnavailableError("the store is closed")
            self._waiting.put(job, timeout=timeout_s)
            return job.done.result(timeout=timeout_s)
        except queue.Full:
            raise StoreUnavailableError(f"{_MAX_WAITING} writes are already waiting") from None
        except FutureTimeoutError:
            raise StoreUnavailableError(f"no commit within {timeout_s:g} s") from None

    def close(self) -> None:
        """Finish what is queued, then end the thread."""
        self._closed = True
        self._waiting.put(None)
        self._thread.join()
        while not self._waiting.empty():  # put between the last look at _closed and the end of the thread
            job = self._waiting.get_nowait()
            if job is not None:
                job.done.set_exception(StoreUnavailableError("the store is closed"))

    def _run(self) -> None:
        stopping = False
        while not stopping:
            group = [self._waiting.get()]
            while len(group) < _MAX_GROUP:
                try:
                    group.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            stopping = None in group
            by_database: dict[int, list[_Job[Any]]] = {}
            for job in group:
                if job is not None:
                    by_database.setdefault(id(job.database), []).append(job)
            for jobs in by_database.values():
                for is_alone, run in groupby(jobs, attrgetter("is_alone")):
                    if is_alone:
                        for job in run:
                            _run_alone(job)
                    else:
                        _commit(list(run))


def _commit(jobs: list[_Job[Any]]) -> None:
    """One transaction for all; when it fails, one for either half, in order, so that only the offenders fail.

    What does not fit on a full disk is an offender, and so is what meets a fault that passes. A transaction that does
    not even begin is nobody's offence, and each of them would wait for the same lock: then all fail.
    """
    database = jobs[0].database
    try:
        connection = _begun(database)
    except Exception as error:  # a loop edge: whatever went wrong belongs to the callers, not to the thread
        _fail(jobs, error)
        return
    try:
        results = _committed(database, connection, jobs)
    except Exception as error:  # the same edge
        if len(jobs) == 1:
            _fail(jobs, error)
            return
        middle = len(jobs) // 2
        _commit(jobs[:middle])
        _commit(jobs[middle:])
        return
    _apply(jobs, results)


def _begun(database: Database) -> sqlite3.Connection:
    connection = database.write_connection
    connection.execute("BEGIN IMMEDIATE")
    return connection


def _committed(database: Database, connection: sqlite3.Connection, jobs: list[_Job[Any]]) -> list[Any]:
    try:
        results = [job.work(connection) for job in jobs]
        connection.execute("COMMIT")
    except BaseException:
        _roll_back(database, connection)
        raise
    return results


def _apply(jobs: list[_Job[Any]], results: list[Any]) -> None:
    for job, result in zip(jobs, results, strict=True):
        try:
            job.applied(result)
        except Exception as error:  # the edge that _commit is; the commit stands, memory is behind
            job.done.set_exception(error)
        else:
            job.done.set_result(result)


def _run_alone(job: _Job[Any]) -> None:
    try:
        connection = job.database.write_connection
        try:
            result = job.work(connection)
        finally:
            _roll_back(job.database, connection)
    except Exception as error:  # the edge that _commit is
        _fail([job], error)
    else:
        job.done.set_result(result)


def _roll_back(database: Database, connection: sqlite3.Connection) -> None:
    """A connection that cannot is given up: what it left open would be part of whatever it commits next."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except sqlite3.Error:
        database.give_up_write_connection()


def _fail(jobs: list[_Job[Any]], error: Exception) -> None:
    for job in jobs:
        job.done.set_exception(_translated(error))


def _translated(error: Exception) -> Exception:
    return StoreUnavailableError(f"the store cannot write: {error}") if isinstance(error, sqlite3.Error) else error
