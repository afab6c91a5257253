import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from indexes.database import SqliteDatabase
from indexes.errors import DataDirectoryError, StoreUnavailableError
from indexes.sqlite_copy import fixed_view

SCHEMA = "CREATE TABLE things (name TEXT);"


def names(database: SqliteDatabase) -> list[str]:
    with database.reading() as connection:
        return [name for (name,) in connection.execute("SELECT name FROM things ORDER BY name")]


def test_what_is_written_is_there_after_reopening(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    database.write_connection.execute("INSERT INTO things VALUES ('kept')")
    database.close()
    again = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    assert names(again) == ["kept"]
    again.close()


def test_commits_are_flushed_to_the_disk_and_readers_do_not_block_them(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    synchronous = database.write_connection.execute("PRAGMA synchronous").fetchone()[0]
    journal = database.write_connection.execute("PRAGMA journal_mode").fetchone()[0]
    database.close()
    assert (synchronous, journal) == (2, "wal")  # 2 is FULL


def test_a_file_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    SqliteDatabase(path, SCHEMA, 8).close()
    with pytest.raises(DataDirectoryError, match=r"a\.db has schema version 8; this program knows 7"):
        SqliteDatabase(path, SCHEMA, 7)
    SqliteDatabase(path, SCHEMA, 8).close()


def test_a_file_that_is_no_database_is_a_typed_error(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"not a database, but long enough to be read as a header" * 100)
    with pytest.raises(StoreUnavailableError, match=r"cannot open a\.db"):
        SqliteDatabase(path, SCHEMA, 1)


def test_a_folder_that_does_not_exist_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"cannot open a\.db"):
        SqliteDatabase(tmp_path / "absent" / "a.db", SCHEMA, 1)


def test_an_sql_error_while_reading_is_translated_and_the_database_goes_on(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    with pytest.raises(StoreUnavailableError, match="no such table"), database.reading() as connection:
        connection.execute("SELECT * FROM absent")
    assert names(database) == []
    database.close()


def test_a_closed_database_refuses_reads(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    database.close()
    with pytest.raises(StoreUnavailableError, match="closed"), database.reading():
        pass


def test_a_connection_in_use_while_the_database_closes_is_closed_when_given_back(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    with database.reading() as connection:
        database.close()
        assert connection.execute("SELECT count(*) FROM things").fetchone() == (0,)
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        connection.execute("SELECT 1")


def test_reads_nest_and_their_connections_are_used_again(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    with database.reading() as outer, database.reading() as inner:
        assert outer is not inner
    with database.reading() as again:
        assert again in (outer, inner)
    database.close()


def test_a_connection_that_is_still_in_a_transaction_is_never_read_from_again(
    tmp_path: Path, cannot_roll_back: Callable[[sqlite3.Connection], None]
) -> None:
    database = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    with pytest.raises(StoreUnavailableError, match="not authorized"), database.reading() as stuck:
        cannot_roll_back(stuck)
        with fixed_view(stuck):
            assert stuck.execute("SELECT * FROM things").fetchall() == []
    database.write_connection.execute("INSERT INTO things VALUES ('later')")
    assert names(database) == ["later"], "another connection, which sees what was written since"
    with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
        stuck.execute("SELECT 1")
    database.close()


def test_a_write_connection_that_was_given_up_is_replaced_until_the_database_closes(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "a.db", SCHEMA, 1)
    given_up = database.write_connection
    given_up.execute("BEGIN IMMEDIATE")
    given_up.execute("INSERT INTO things VALUES ('half done')")
    database.give_up_write_connection()
    database.write_connection.execute("INSERT INTO things VALUES ('whole')")
    assert database.write_connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert names(database) == ["whole"]
    database.give_up_write_connection()
    database.close()
    with pytest.raises(StoreUnavailableError, match="closed before the write"):
        _ = database.write_connection
