"""Backups and databases that somebody else wrote, with checksums that are right."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from indexes.backup import back_up, verify_backup
from indexes.backup_manifest import BackupManifest
from indexes.catalog import Catalog
from indexes.database import SqliteDatabase
from indexes.durable import Checksum
from indexes.errors import BackupError, DataDirectoryError, StoreUnavailableError
from indexes.restore import restore
from indexes.spec import CollectionSpec


@pytest.fixture
def made(open_catalog: Callable[[], Catalog], put: Callable[..., str], spec: CollectionSpec, tmp_path: Path) -> Path:
    catalog = open_catalog()
    put(catalog.ensure("docs", spec)[0], "a", ["x"], np.ones((1, spec.dimension), dtype=np.float32))
    back_up(catalog, tmp_path / "made")
    catalog.close()
    return tmp_path / "made"


def store_of(made: Path) -> Path:
    (store,) = made.glob("collections/*/store.db")
    return store


def sealed_again(made: Path) -> None:
    """The checksums of whatever is there now, as whoever changed it would write them."""
    manifest = BackupManifest.read(made)
    files = {path: Checksum.of_file(made / path) for path in manifest.files}
    replace(manifest, files=files).write(made)


def refused(made: Path, tmp_path: Path, said: str) -> None:
    with pytest.raises(BackupError, match=said):
        restore(made, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
@pytest.mark.parametrize("file", ["catalog.db", "store.db", "manifest.json", "manifest.json.sha256"])
def test_a_backup_is_read_from_plain_files_alone(
    made: Path, tmp_path: Path, plant: Callable[[Path, str], None], kind: str, file: str
) -> None:
    plant(store_of(made) if file == "store.db" else made / file, kind)
    refused(made, tmp_path, "backup")


def test_a_folder_that_is_a_link_is_not_followed(made: Path, tmp_path: Path) -> None:
    folder = store_of(made).parent
    folder.rename(tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    refused(made, tmp_path, "leads out of the backup")
    with pytest.raises(BackupError):
        verify_backup(made)


PLANTED = {
    "a trigger": "CREATE TRIGGER planted AFTER INSERT ON chunks BEGIN DELETE FROM documents; END",
    "a view": "CREATE VIEW planted AS SELECT * FROM documents",
    "a virtual table": "CREATE VIRTUAL TABLE planted USING fts5(x)",
    "a computed column": "ALTER TABLE documents ADD COLUMN planted AS (title || text)",
    "another column": "ALTER TABLE documents ADD COLUMN planted",
    "another table": "CREATE TABLE planted (x)",
    "another index": "CREATE INDEX planted ON documents(lower(title))",
    "an index of another kind": "DROP INDEX chunks_by_document; CREATE INDEX chunks_by_document ON chunks(abs(row))",
    "a view for a table": "ALTER TABLE operations RENAME TO planted; CREATE VIEW operations AS SELECT * FROM planted",
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_store_with_a_schema_that_is_not_ours_is_not_restored(made: Path, tmp_path: Path, what: str) -> None:
    with closing(sqlite3.connect(store_of(made))) as connection:
        connection.executescript(PLANTED[what])
    sealed_again(made)
    refused(made, tmp_path, "is not restored: store.db has")


@pytest.mark.parametrize("what", ["a trigger", "a view", "a virtual table", "a computed column", "a view for a table"])
def test_nor_is_it_opened(tmp_path: Path, what: str) -> None:
    path, schema = tmp_path / "a.db", "CREATE TABLE documents (title, text); CREATE TABLE chunks (x);"
    schema += "CREATE TABLE operations (x);"
    SqliteDatabase(path, schema, 1).close()
    SqliteDatabase(path, schema, 1).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(PLANTED[what])
    with pytest.raises(StoreUnavailableError, match=r"a\.db has"):
        SqliteDatabase(path, schema, 1)


def test_a_file_of_a_store_whose_pages_are_mixed_up_is_not_restored(made: Path, tmp_path: Path) -> None:
    data = bytearray(store_of(made).read_bytes())
    data[3 * 4096 : 5 * 4096] = bytes(2 * 4096)
    store_of(made).write_bytes(data)
    sealed_again(made)
    refused(made, tmp_path, "store.db of the backup is")


OUTSIDE = ["../../outside", "/outside", "..", "", "A" * 32, "0" * 31 + "\n", "0" * 33]


@pytest.mark.parametrize("uid", OUTSIDE)
def test_a_catalogue_that_leads_elsewhere_is_neither_restored_nor_opened(
    made: Path, tmp_path: Path, uid: str, open_catalog: Callable[[], Catalog]
) -> None:
    """What has no name is a deletion to finish, so its folder would be removed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    for path in (made / "catalog.db", tmp_path / "data" / "catalog.db"):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("INSERT INTO collections (uuid, name, spec) VALUES (?, NULL, '{}')", (uid,))
    sealed_again(made)
    refused(made, tmp_path, "which is not ours")
    with pytest.raises(DataDirectoryError, match="which is not ours"):
        open_catalog()
    assert (tmp_path / "outside" / "kept").exists()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("collections", 0, "uuid"), "../.."), (("collections", 0, "uuid"), None), (("collections", 0, "name"), 7),
        (("collections", 0, "documents"), -1), (("collections", 0, "schema_version"), "9"), (("collections",), 7),
        (("schema_version",), None), (("files", "catalog.db", "bytes"), -1), (("files", "catalog.db", "bytes"), 1e300),
        (("files", "catalog.db", "bytes"), "12"), (("files", "catalog.db", "sha256"), 12), (("files",), []),
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_with_other_values_is_refused(
    made: Path, tmp_path: Path, path: tuple[Any, ...], value: object
) -> None:
    manifest = orjson.loads((made / "manifest.json").read_bytes())
    place = manifest
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    data = orjson.dumps(manifest)
    (made / "manifest.json").write_bytes(data)
    (made / "manifest.json.sha256").write_bytes(f"{Checksum.of(data).sha256}  manifest.json\n".encode())
    refused(made, tmp_path, "manifest.json is not understood")


def test_a_manifest_without_end_or_without_a_bottom_is_refused(made: Path, tmp_path: Path) -> None:
    data = b"[" * 100_000
    (made / "manifest.json").write_bytes(data)
    (made / "manifest.json.sha256").write_bytes(f"{Checksum.of(data).sha256}  manifest.json\n".encode())
    refused(made, tmp_path, "manifest.json is not understood")
    os.truncate(made / "manifest.json", 1 << 40)
    refused(made, tmp_path, "more than")
