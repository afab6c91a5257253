import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from indexes.base import Hybrid, SearchParams
from indexes.catalog import Catalog
from indexes.database import SqliteDatabase
from indexes.errors import DataDirectoryError, MigrationError, StoreUnavailableError
from indexes.migration import migration_backups
from indexes.spec import CollectionSpec
from indexes.store_schema import SCHEMA_VERSION

RELEASED = Path(__file__).parent / "fixtures"
OLD = "CREATE TABLE things (name TEXT); INSERT INTO things VALUES ('kept');"
SCRIPTS = {
    2: "ALTER TABLE things ADD COLUMN size INTEGER; UPDATE things SET size = length(name);",
    3: "CREATE INDEX things_by_size ON things(size) -- no semicolon at the end",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.db"
    SqliteDatabase(path, OLD, 1).close()
    return path


@contextmanager
def opened(path: Path, version: int, scripts: Mapping[int, str]) -> Iterator[sqlite3.Connection]:
    database = SqliteDatabase(path, "CREATE TABLE unused (x);", version, scripts)
    yield database.write_connection
    database.close()


def look(path: Path) -> tuple[int, list[str]]:
    """Version and schema of a file."""
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        return version, [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_master ORDER BY name")]


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.iterdir())


def test_an_older_file_is_migrated_step_by_step_and_kept_as_it_was(path: Path) -> None:
    was = look(path)
    with opened(path, 3, SCRIPTS) as connection:
        assert connection.execute("SELECT name, size FROM things").fetchall() == [("kept", 4)]
    version, schema = look(path)
    assert version == 3
    assert any("things_by_size" in sql for sql in schema)
    assert names(path) == ["a.db", "a.db.v1.bak"]
    assert look(path.with_name("a.db.v1.bak")) == was
    assert migration_backups(path) == [path.with_name("a.db.v1.bak")]


def test_the_copy_has_what_was_only_in_the_log_and_needs_no_file_beside_it(path: Path) -> None:
    with closing(sqlite3.connect(path)) as writing:
        writing.execute("PRAGMA wal_autocheckpoint=0")
        writing.execute("INSERT INTO things VALUES ('late')")
        writing.commit()
        with opened(path, 2, SCRIPTS):
            pass
    kept = sqlite3.connect(f"file:{path}.v1.bak?mode=ro&immutable=1", uri=True)
    with closing(kept):
        assert kept.execute("SELECT name FROM things").fetchall() == [("kept",), ("late",)]
    assert path.with_name("a.db.v1.bak").read_bytes()[18:20] == b"\x01\x01", "not in WAL mode"


def test_a_file_of_this_version_is_left_alone(path: Path) -> None:
    with opened(path, 1, SCRIPTS):
        pass
    assert names(path) == ["a.db"]


def test_a_new_file_gets_the_newest_schema_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "b.db", 3, SCRIPTS) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (3,)
        assert connection.execute("SELECT count(*) FROM unused").fetchone() == (0,)
    assert migration_backups(tmp_path / "b.db") == []


@pytest.mark.parametrize("bad", ["INSERT INTO absent VALUES (1);", "COMMIT; nonsense;", "SELECT ("])
def test_a_failing_script_leaves_the_file_as_the_step_before_left_it(path: Path, bad: str) -> None:
    was = look(path)
    first_half = "INSERT INTO things VALUES ('half'); CREATE TABLE half (x);" if "COMMIT" not in bad else ""
    with pytest.raises(
        MigrationError, match=r"a\.db cannot be migrated to schema version 2: .*; its copy is a\.db\.v1"
    ):
        SqliteDatabase(path, "", 2, {2: first_half + bad})
    assert look(path) == was
    with pytest.raises(MigrationError, match="schema version 3"):
        SqliteDatabase(path, "", 3, {2: SCRIPTS[2], 3: bad})
    assert look(path)[0] == 2
    with opened(path, 3, SCRIPTS) as connection:
        assert connection.execute("SELECT name, size FROM things").fetchall() == [("kept", 4)]
    assert names(path) == ["a.db", "a.db.v1.bak", "a.db.v2.bak"]


def test_a_step_that_no_script_leads_to_is_named_before_anything_is_done(path: Path) -> None:
    with pytest.raises(MigrationError, match=r"a\.db has schema version 1; nothing leads from it to 3"):
        SqliteDatabase(path, "", 4, {2: SCRIPTS[2], 4: ""})
    assert names(path) == ["a.db"]
    assert look(path)[0] == 1


def test_nothing_is_migrated_on_a_full_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    was = look(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(MigrationError, match=r"not migrated, as it cannot be copied first: .*No space left"):
            SqliteDatabase(path, "", 2, SCRIPTS)
    assert look(path) == was
    assert names(path) == ["a.db"]
    with opened(path, 2, SCRIPTS):
        pass


def test_a_damaged_file_is_not_migrated(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany("INSERT INTO things VALUES (?)", [(str(n) * 500,) for n in range(100)])
        connection.commit()
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 3 * 4096 + 200] = b"\xff" * 200
    path.write_bytes(data)
    with pytest.raises(MigrationError, match="cannot be copied first"):
        SqliteDatabase(path, "", 2, SCRIPTS)
    assert path.read_bytes() == data
    assert names(path) == ["a.db"]


def test_a_copy_that_was_cut_short_is_made_again(path: Path) -> None:
    path.with_name("a.db.v1.bak").write_bytes(b"of an earlier attempt")
    path.with_name("a.db.v1.bak.writing").write_bytes(b"half")
    with opened(path, 2, SCRIPTS):
        pass
    assert names(path) == ["a.db", "a.db.v1.bak"]
    assert look(path.with_name("a.db.v1.bak"))[0] == 1


def test_a_newer_file_is_refused_and_not_copied(path: Path) -> None:
    with opened(path, 3, SCRIPTS):
        pass
    before = names(path)
    with pytest.raises(DataDirectoryError, match="has schema version 3; this program knows 2"):
        SqliteDatabase(path, "", 2, SCRIPTS)
    assert names(path) == before


def test_a_store_that_cannot_be_migrated_is_of_the_kind_that_costs_one_collection() -> None:
    assert issubclass(MigrationError, StoreUnavailableError)


@pytest.mark.parametrize("released", sorted(path.name for path in RELEASED.iterdir()))
def test_data_of_every_released_version_opens_and_holds_what_it_held(
    tmp_path: Path, open_catalog: Callable[[], Catalog], spec: CollectionSpec, released: str
) -> None:
    data_dir = tmp_path / "data"
    with closing(written(data_dir / "catalog.db", RELEASED / released / "catalog.sql")) as catalogue:
        (folder,) = catalogue.execute("SELECT uuid FROM collections").fetchone()
    store = data_dir / "collections" / folder / "store.db"
    written(store, RELEASED / released / "store.sql").close()
    catalog = open_catalog()
    collection = catalog.get("docs")
    assert collection.spec.differences(spec) == {}
    assert collection.documents("", 10) == [
        ("a", "First, again", "https://example.org/a", {"lang": "en", "year": 2025, "tags": ["x"]}),
        ("b/ü", "Second", None, {}),
    ]
    assert collection.document("b/ü").text == "drei ☃"
    assert collection.version == 5
    for at, text in enumerate(["one ", "two ", "three"]):
        (hit,) = collection.search(np.eye(16, dtype=np.float32)[1 + at], SearchParams(top_k=1))
        assert (hit.chunk.id, hit.chunk.text, round(hit.score, 6)) == (f"a#{at}", text, 1)
        assert (hit.chunk.heading_path, hit.chunk.page) == (("Part", str(at)), 3 if at == 0 else None)
        (hit,) = collection.search(np.ones(16, dtype=np.float32), SearchParams(1, hybrid=Hybrid(text, 0.0)))
        assert hit.chunk.text == text, "what was there is found by its words"
    assert collection.spec.language == "unicode"
    assert collection.accept() == 6
    assert collection.verify().problems == [], "what was there has the checksums of what was there"
    catalog.close()
    assert look(store)[0] == SCHEMA_VERSION
    assert (migration_backups(store) == []) == (released == f"data_v{SCHEMA_VERSION}")


def written(path: Path, dump: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True)
    connection = sqlite3.connect(path)
    connection.executescript(dump.read_text())
    return connection
