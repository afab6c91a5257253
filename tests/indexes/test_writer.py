import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from indexes.database import SqliteDatabase
from indexes.errors import StoreUnavailableError
from indexes.writer import GroupCommitWriter

SCHEMA = "CREATE TABLE things (name TEXT UNIQUE);"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[SqliteDatabase]:
    database = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    yield database
    database.close()


def insert(connection: sqlite3.Connection, name: str) -> str:
    connection.execute("INSERT INTO things VALUES (?)", (name,))
    return name


def fail(connection: sqlite3.Connection) -> str:
    insert(connection, "half done")
    raise ValueError("bad job")


def names(database: SqliteDatabase) -> set[str]:
    with database.reading() as connection:
        return {name for (name,) in connection.execute("SELECT name FROM things")}


def in_order(database: SqliteDatabase) -> list[str]:
    """As they were inserted."""
    with database.reading() as connection:
        return [name for (name,) in connection.execute("SELECT name FROM things ORDER BY rowid")]


@contextmanager
def held(writer: GroupCommitWriter, database: SqliteDatabase) -> Iterator[Callable[..., Future[Any]]]:
    """While the writer is busy with a first job, others queue up in the order they are submitted in."""
    release, busy, queued = threading.Event(), threading.Event(), threading.Semaphore(0)
    put = writer._waiting.put

    def counted(job: Any, timeout: float | None = None) -> None:  # noqa: ANN401  any job
        put(job, timeout=timeout)
        queued.release()

    def occupy(connection: sqlite3.Connection) -> None:
        busy.set()
        release.wait(timeout=200)

    with ThreadPoolExecutor(64) as threads, pytest.MonkeyPatch.context() as patch:
        first = threads.submit(writer.write, database, occupy)
        assert busy.wait(timeout=200)
        patch.setattr(writer._waiting, "put", counted)

        def submit(*job: Any) -> Future[Any]:  # noqa: ANN401  what write takes
            submitted = threads.submit(writer.write, *job)
            assert queued.acquire(timeout=200)
            return submitted

        try:
            yield submit
        finally:
            release.set()
        first.result(timeout=200)


def test_a_write_is_committed_and_applied_when_it_returns(writer: GroupCommitWriter, database: SqliteDatabase) -> None:
    applied: list[str] = []
    assert writer.write(database, partial(insert, name="a"), applied.append) == "a"
    assert names(database) == {"a"}
    assert applied == ["a"]


def test_changes_are_applied_only_after_the_commit(writer: GroupCommitWriter, database: SqliteDatabase) -> None:
    seen: list[set[str]] = []
    writer.write(database, partial(insert, name="a"), lambda _: seen.append(names(database)))
    assert seen == [{"a"}]


def test_writes_that_wait_share_one_commit_in_the_order_they_came(
    writer: GroupCommitWriter, database: SqliteDatabase
) -> None:
    statements: list[str] = []
    with held(writer, database) as submit:
        jobs = [submit(database, partial(insert, name=f"n{i}")) for i in range(20)]
        database.write_connection.set_trace_callback(statements.append)
    assert [job.result(timeout=200) for job in jobs] == in_order(database)
    assert statements.count("BEGIN IMMEDIATE") == 1
    assert sum(statement.startswith("INSERT") for statement in statements) == 20


@pytest.mark.parametrize("bad", [fail, partial(insert, name="n3")])
def test_one_bad_job_of_a_group_fails_alone(
    writer: GroupCommitWriter, database: SqliteDatabase, bad: Callable[[sqlite3.Connection], str]
) -> None:
    writer.write(database, partial(insert, name="n3"))
    applied: list[str] = []
    with held(writer, database) as submit:
        before = [submit(database, partial(insert, name=f"before{i}"), applied.append) for i in range(5)]
        offender = submit(database, bad, applied.append)
        after = [submit(database, partial(insert, name=f"after{i}"), applied.append) for i in range(5)]
    good = [job.result(timeout=200) for job in before + after]
    assert isinstance(offender.exception(timeout=200), ValueError | StoreUnavailableError)
    assert sorted(applied) == sorted(good)
    assert names(database) == {"n3", *good}


def test_on_a_full_disk_what_fits_is_written_in_the_order_it_came(
    writer: GroupCommitWriter, database: SqliteDatabase
) -> None:
    connection = database.write_connection
    connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0] + 2}")
    large, applied = {3, 8, 9}, list[str]()
    with held(writer, database) as submit:
        jobs = [
            submit(database, partial(insert, name=f"{i}" * (100_000 if i in large else 1)), applied.append)
            for i in range(13)
        ]
    errors = {i: str(job.exception(timeout=200)) for i, job in enumerate(jobs) if job.exception(timeout=30)}
    assert errors == dict.fromkeys(large, "the store cannot write: database or disk is full")
    assert in_order(database) == applied == [f"{i}" for i in range(13) if i not in large]


def test_a_lock_that_is_held_elsewhere_fails_the_whole_group_after_one_wait(
    writer: GroupCommitWriter, database: SqliteDatabase, tmp_path: Path
) -> None:
    locked = SqliteDatabase(tmp_path / "locked.db", SCHEMA, 1)
    locked.write_connection.execute("PRAGMA busy_timeout=0")
    begun: list[str] = []
    locked.write_connection.set_trace_callback(begun.append)
    with closing(sqlite3.connect(locked.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with held(writer, database) as submit:
            jobs = [submit(locked, partial(insert, name=f"n{i}")) for i in range(9)]
        errors = {str(job.exception(timeout=200)) for job in jobs}
    assert errors == {"the store cannot write: database is locked"}
    assert begun == ["BEGIN IMMEDIATE"]
    locked.close()


def test_a_connection_that_cannot_roll_back_is_replaced_before_the_next_commit(
    writer: GroupCommitWriter, database: SqliteDatabase, cannot_roll_back: Callable[[sqlite3.Connection], None]
) -> None:
    stuck = database.write_connection
    cannot_roll_back(stuck)
    with held(writer, database) as submit:
        jobs = [submit(database, job) for job in (partial(insert, name="a"), fail, partial(insert, name="b"))]
    assert [type(job.exception(timeout=200)) for job in jobs] == [type(None), ValueError, type(None)]
    assert in_order(database) == ["a", "b"], "nothing of what failed is in the commits that came after it"
    assert database.write_connection is not stuck


def test_a_job_alone_that_leaves_a_transaction_which_cannot_be_ended_costs_its_connection(
    writer: GroupCommitWriter, database: SqliteDatabase, cannot_roll_back: Callable[[sqlite3.Connection], None]
) -> None:
    def half_do(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        fail(connection)

    cannot_roll_back(database.write_connection)
    with pytest.raises(ValueError, match="bad job"):
        writer.run_alone(database, half_do)
    writer.write(database, partial(insert, name="a"))
    assert in_order(database) == ["a"]


def test_an_error_of_the_job_itself_reaches_its_caller_unchanged(
    writer: GroupCommitWriter, database: SqliteDatabase
) -> None:
    with pytest.raises(ValueError, match="bad job"):
        writer.write(database, fail)
    assert names(database) == set()


def test_an_sql_error_is_translated_and_the_thread_goes_on(writer: GroupCommitWriter, database: SqliteDatabase) -> None:
    writer.write(database, partial(insert, name="a"))
    with pytest.raises(StoreUnavailableError, match="UNIQUE"):
        writer.write(database, partial(insert, name="a"))
    writer.write(database, partial(insert, name="b"))
    assert names(database) == {"a", "b"}


def test_a_write_that_cannot_be_applied_is_reported_though_it_is_committed(
    writer: GroupCommitWriter, database: SqliteDatabase
) -> None:
    def refuse(_: str) -> None:
        raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        writer.write(database, partial(insert, name="a"), refuse)
    assert names(database) == {"a"}
    writer.write(database, partial(insert, name="b"))


def test_a_failing_database_does_not_fail_another_one(
    writer: GroupCommitWriter, database: SqliteDatabase, tmp_path: Path
) -> None:
    closed = SqliteDatabase(tmp_path / "b.db", SCHEMA, 1)
    closed.close()
    with held(writer, database) as submit:
        bad = submit(closed, partial(insert, name="a"))
        good = submit(database, partial(insert, name="a"))
    assert good.result(timeout=200) == "a"
    assert isinstance(bad.exception(timeout=200), StoreUnavailableError)


def test_closing_finishes_what_is_queued_and_refuses_what_comes_later(database: SqliteDatabase) -> None:
    writer = GroupCommitWriter()
    with held(writer, database) as submit:
        jobs = [submit(database, partial(insert, name=f"n{i}")) for i in range(5)]
    writer.close()
    assert len({job.result(timeout=200) for job in jobs}) == 5
    with pytest.raises(StoreUnavailableError, match="closed"):
        writer.write(database, partial(insert, name="late"))
    assert "late" not in names(database)


def test_closing_twice_does_no_harm(database: SqliteDatabase) -> None:
    writer = GroupCommitWriter()
    writer.write(database, partial(insert, name="a"))
    writer.close()
    writer.close()
