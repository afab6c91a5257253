import errno
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from indexes import backup, restore
from indexes.backup import back_up, verify_backup
from indexes.backup_manifest import BackupManifest, CollectionEntry
from indexes.base import Hit, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.data_directory import owned
from indexes.durable import Checksum
from indexes.errors import BackupConflictError, BackupError, DataDirectoryError
from indexes.spec import CollectionSpec
from indexes.sqlite_copy import copy_database

Open = Callable[[], Catalog]
Put = Callable[..., str]
Clustered = Callable[[int, int, int], Vectors]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "one"


@pytest.fixture
def filled(open_catalog: Open, put: Put, clustered: Clustered, spec: CollectionSpec) -> Catalog:
    """Collections ``a`` and ``b`` of 20 and 10 documents, three chunks each."""
    catalog = open_catalog()
    for name, count in (("a", 20), ("b", 10)):
        vectors = clustered(3 * count, 16, count)
        for n in range(count):
            pieces = [f"{name}{n} one ", "two ☃ ", "three"]
            put(catalog.ensure(name, spec)[0], f"{name}-{n}", pieces, vectors[3 * n : 3 * n + 3])
    return catalog


@pytest.fixture
def made(filled: Catalog, folder: Path) -> BackupManifest:
    manifest = back_up(filled, folder)
    filled.close()
    return manifest


def content(collection: Collection) -> dict[str, Any]:
    return {id_: asdict(collection.document(id_)) for id_, *_ in collection.documents("", 10_000)}


def hits(collection: Collection, queries: Vectors) -> list[list[Hit]]:
    return [collection.search(query, SearchParams(top_k=7)) for query in queries]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@contextmanager
def full_disk(nth: int) -> Iterator[Callable[[], bool]]:
    """The ``nth`` fsync, move or new folder meets a full disk."""
    calls = 0

    def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  whatever os takes
            nonlocal calls
            calls += 1
            if calls == nth:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for step in ("fsync", "replace", "mkdir"):
            patch.setattr(os, step, wrapped(getattr(os, step)))
        yield lambda: calls >= nth


def test_what_was_backed_up_is_restored_and_found_again(
    filled: Catalog, open_catalog: Open, clustered: Clustered, folder: Path, data_dir: Path, tmp_path: Path
) -> None:
    queries = clustered(25, 16, 99)
    was = {name: (content(filled.get(name)), hits(filled.get(name), queries)) for name in "ab"}
    versions = {name: filled.get(name).version for name in "ab"}
    back_up(filled, folder)
    filled.close()
    data_dir.rename(tmp_path / "lost")
    restore.restore(folder, data_dir)
    catalog = open_catalog()
    assert catalog.names() == ["a", "b"]
    for name in "ab":
        collection = catalog.get(name)
        assert (content(collection), hits(collection, queries)) == was[name]
        assert collection.version == versions[name]
        assert collection.accept() == versions[name] + 1
    assert ".restoring" not in names(data_dir)


def test_the_manifest_says_what_is_in_it(filled: Catalog, folder: Path, spec: CollectionSpec) -> None:
    filled.ensure("empty", spec)
    manifest = back_up(filled, folder)
    counts = {entry.name: (entry.documents, entry.chunks, entry.schema_version) for entry in manifest.collections}
    newest = restore.STORE_VERSION
    assert counts == {"a": (20, 60, newest), "b": (10, 30, newest), "empty": (0, 0, newest)}
    assert (manifest.program, manifest.schema_version) == (version("quarry"), restore.CATALOG_VERSION)
    assert set(manifest.files) == {
        "catalog.db",
        *(f"collections/{entry.uuid}/store.db" for entry in manifest.collections),
    }
    assert manifest.bytes == sum((folder / path).stat().st_size for path in manifest.files)
    assert verify_backup(folder) == manifest
    assert subprocess.run(["sha256sum", "--check", "manifest.json.sha256"], cwd=folder, check=False).returncode == 0  # noqa: S607


def test_nothing_but_the_truth_is_copied(filled: Catalog, folder: Path, data_dir: Path) -> None:
    for path in (data_dir / "collections").iterdir():
        (path / "snapshots").mkdir(exist_ok=True)
        (path / "snapshots" / "index.db").write_bytes(b"derived")
    manifest = back_up(filled, folder)
    found = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert found == {*manifest.files, "manifest.json", "manifest.json.sha256"}
    assert names(folder.parent) == ["one"]


def test_a_backup_beside_writers_holds_whole_documents_and_all_that_were_acknowledged(
    filled: Catalog, open_catalog: Open, put: Put, folder: Path, data_dir: Path, tmp_path: Path
) -> None:
    vectors = np.eye(16, dtype=np.float32)[:3]
    done = False

    def write(thread: int) -> int:
        count = 0
        while not done:
            put(filled.get("a"), f"w{thread}-{count}", ["x" * 4000, "y" * 4000, "z"], vectors)
            count += 1
        return count

    with ThreadPoolExecutor(3) as threads:
        writing = [threads.submit(write, thread) for thread in range(3)]
        manifests = []
        for n in range(5):
            before = filled.get("a").version
            manifests.append((before, back_up(filled, folder.with_name(str(n)))))
        done = True
        assert sum(job.result(timeout=200) for job in writing) > 0
    filled.close()
    for n, (before, manifest) in enumerate(manifests):
        if data_dir.exists():
            data_dir.rename(tmp_path / f"before{n}")
        restore.restore(folder.with_name(str(n)), data_dir)
        collection = open_catalog().get("a")
        (entry,) = [entry for entry in manifest.collections if entry.name == "a"]
        assert collection.version >= before
        assert entry.chunks == 3 * entry.documents == 3 * len(collection.documents("", 10**6))
        assert len(collection.search(vectors[0], SearchParams(top_k=10**5))) == entry.chunks
        open_catalog().close()


def test_collections_that_come_and_go_meanwhile_are_as_they_were_at_one_moment(
    filled: Catalog, open_catalog: Open, spec: CollectionSpec, put: Put, folder: Path, tmp_path: Path
) -> None:
    was = content(filled.get("b"))

    def copy(source: sqlite3.Connection, target: Path, *rest: Any) -> None:  # noqa: ANN401  as it came
        if target.name == "store.db" and "c" not in filled:
            filled.drop("b")
            put(filled.ensure("c", spec)[0], "new", ["x"], np.ones((1, 16), dtype=np.float32))
            put(filled.ensure("b", replace(spec, chunk_size=7))[0], "other", ["x"], np.ones((1, 16), dtype=np.float32))
        copy_database(source, target, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "copy_database", copy)
        back_up(filled, folder)
    filled.close()
    filled.data_dir.rename(tmp_path / "lost")
    restore.restore(folder, filled.data_dir)
    catalog = open_catalog()
    assert catalog.names() == ["a", "b"]
    assert content(catalog.get("b")) == was


def test_no_collection_is_created_or_dropped_while_the_backup_looks_which_there_are(
    filled: Catalog, folder: Path, spec: CollectionSpec
) -> None:
    without_deletions = backup._without_deletions

    def look(catalog: Path) -> dict[str, str | None]:
        assert filled._mutation.locked()
        return without_deletions(catalog)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup, "_without_deletions", look)
        back_up(filled, folder)
    assert not filled._mutation.locked()


def test_half_deleted_collections_stay_behind_and_unnamed_ones_that_are_needed_come_along(
    filled: Catalog, folder: Path, data_dir: Path
) -> None:
    filled.close()
    with closing(sqlite3.connect(data_dir / "catalog.db")) as connection:
        (a,) = connection.execute("SELECT uuid FROM collections WHERE name = 'a'").fetchone()
        connection.executescript(
            "INSERT INTO collections (uuid, name, spec) VALUES ('gone', NULL, '{}');"
            "UPDATE collections SET name = NULL WHERE name = 'a';"
            "CREATE TABLE mirrors (uuid TEXT REFERENCES collections(uuid));"
        )
        connection.execute("INSERT INTO mirrors VALUES (?)", (a,))
        connection.commit()
    with owned(data_dir) as directory:
        manifest = back_up(directory, folder)
    assert sorted((entry.name or "", entry.documents) for entry in manifest.collections) == [("", 20), ("b", 10)]
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        assert connection.execute("SELECT count(*) FROM collections WHERE uuid = 'gone'").fetchone() == (0,)


def test_what_a_killed_process_left_in_the_log_is_backed_up(filled: Catalog, folder: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    subprocess.run(["cp", "-r", filled.data_dir, killed], check=True)  # noqa: S607
    assert list(killed.rglob("store.db-wal"))
    with owned(killed) as directory:
        manifest = back_up(directory, folder)
    assert sorted((entry.name, entry.documents) for entry in manifest.collections) == [("a", 20), ("b", 10)]


def test_a_flipped_byte_in_any_file_is_refused(made: BackupManifest, folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "restored"
    for path in [*made.files, "manifest.json", "manifest.json.sha256"]:
        intact = (folder / path).read_bytes()
        step = 1 if path.startswith("manifest") else 997
        for position in range(0, len(intact), step):
            flipped = bytes([intact[position] ^ 0x10])
            (folder / path).write_bytes(intact[:position] + flipped + intact[position + 1 :])
            with pytest.raises(BackupError):
                restore.restore(folder, target)
        (folder / path).write_bytes(intact)
    assert not target.exists()
    assert verify_backup(folder) == made


@pytest.mark.parametrize("change", ["shorter", "longer", "missing"])
def test_a_file_of_another_length_is_refused(made: BackupManifest, folder: Path, tmp_path: Path, change: str) -> None:
    for path in [*made.files, "manifest.json", "manifest.json.sha256"]:
        intact = (folder / path).read_bytes()
        (folder / path).unlink()
        if change != "missing":
            (folder / path).write_bytes(intact[:-1] if change == "shorter" else intact + b"x")
        with pytest.raises(BackupError):
            restore.restore(folder, tmp_path / "restored")
        (folder / path).write_bytes(intact)
    assert verify_backup(folder) == made


def test_a_file_that_changes_between_the_check_and_the_copy_is_refused(
    made: BackupManifest, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verified(folder: Path, *_: object) -> BackupManifest:
        path = folder / next(path for path in made.files if path.startswith("collections"))
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        return made

    monkeypatch.setattr(restore, "verify_backup", verified)
    with pytest.raises(BackupError, match="has changed while it was restored"):
        restore.restore(folder, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


def test_a_full_disk_leaves_no_half_backup(filled: Catalog, folder: Path) -> None:
    nth = 0
    while True:
        nth += 1
        with full_disk(nth) as reached:
            try:
                back_up(filled, folder)
            except BackupError as error:
                assert "No space left" in str(error)
        if not reached():
            break
        # Once it has its name it is whole: then only bringing the name to the disk has failed.
        assert names(folder.parent) == [] or verify_backup(folder)
        if folder.exists():
            folder.rename(folder.parent.parent / "done")
    assert nth > 12
    assert verify_backup(folder)


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_no_half_restored_data(
    made: BackupManifest, folder: Path, tmp_path: Path, *, exists: bool
) -> None:
    target, nth = tmp_path / "restored", 0
    while True:
        nth += 1
        if exists:
            target.mkdir(exist_ok=True)
        with full_disk(nth) as reached:
            try:
                restore.restore(folder, target)
            except BackupError as error:
                assert "No space left" in str(error)
            else:  # a folder that is there already need not be made
                assert (target / "catalog.db").exists()
                if not reached():
                    break
                shutil.rmtree(target)
                continue
        assert names(target) in ([], ["lock"])
        assert target.exists() == exists
    assert nth > 8


def test_a_folder_that_is_taken_is_refused_and_left_alone(filled: Catalog, folder: Path) -> None:
    folder.mkdir(parents=True)
    back_up(filled, folder)
    with pytest.raises(BackupConflictError, match="is not empty"):
        back_up(filled, folder)
    assert verify_backup(folder)
    (folder.parent / "file").write_text("in the way")
    for path in (folder.parent / "file", folder.parent / "file" / "below"):
        with pytest.raises(BackupError, match="file"):
            back_up(filled, path)
    (folder.parent / ".two.writing").mkdir()
    with pytest.raises(BackupConflictError, match="is being written, or was cut short"):
        back_up(filled, folder.with_name("two"))


def test_a_collection_that_cannot_be_read_is_named_and_not_left_out(
    filled: Catalog, folder: Path, data_dir: Path
) -> None:
    filled.close()
    with closing(sqlite3.connect(data_dir / "catalog.db")) as connection:
        (a,) = connection.execute("SELECT uuid FROM collections WHERE name = 'a'").fetchone()
    store = data_dir / "collections" / a / "store.db"
    intact = store.read_bytes()
    for damaged in (b"no database" * 1000, intact[:8192] + b"\xff" * 300 + intact[8492:], None):
        store.unlink()
        if damaged is not None:
            store.write_bytes(damaged)
        with owned(data_dir) as directory, pytest.raises(BackupError, match="collection 'a' cannot be"):
            back_up(directory, folder)
        assert names(folder.parent) == []
        store.write_bytes(intact)


def test_a_directory_without_a_catalogue_is_a_typed_error(tmp_path: Path, folder: Path) -> None:
    with owned(tmp_path) as directory, pytest.raises(BackupError, match="unable to open database file"):
        back_up(directory, folder)
    with pytest.raises(BackupError, match="is no backup"):
        verify_backup(tmp_path)


def test_data_is_never_restored_over(made: BackupManifest, folder: Path, data_dir: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()}
    with pytest.raises(BackupConflictError, match=r"has data \((catalog\.db|collections)\)"):
        restore.restore(folder, data_dir)
    assert {path: path.read_bytes() for path in data_dir.rglob("*") if path.is_file()} == before
    with owned(data_dir), pytest.raises(DataDirectoryError, match="in use"):
        restore.restore(folder, data_dir)
    target = tmp_path / "restored"
    (target / "collections").mkdir(parents=True)
    (target / ".restoring" / "half").mkdir(parents=True)
    restore.restore(folder, target)
    assert [name for name in names(target) if name != "lock"] == ["catalog.db", "collections"]


def test_a_backup_in_the_data_directory_can_be_restored_there(
    made: BackupManifest, folder: Path, open_catalog: Open, data_dir: Path, tmp_path: Path
) -> None:
    data_dir.rename(tmp_path / "lost")
    data_dir.mkdir()
    folder.parent.rename(data_dir / "backups")
    restore.restore(data_dir / "backups" / "one", data_dir)
    assert open_catalog().names() == ["a", "b"]


def test_a_backup_of_a_newer_program_is_refused(made: BackupManifest, folder: Path, tmp_path: Path) -> None:
    replace(made, schema_version=99).write(folder)
    with pytest.raises(BackupError, match="catalogue has schema version 99; this program knows"):
        restore.restore(folder, tmp_path / "restored")
    entries = tuple(replace(entry, schema_version=98) for entry in made.collections)
    replace(made, collections=entries).write(folder)
    with pytest.raises(BackupError, match=r"'[ab]' of the backup has schema version 98"):
        restore.restore(folder, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "collections/../../x", "lock", "catalog.db\n"])
def test_a_manifest_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    entry = CollectionEntry("a", "0" * 32, 0, 0, 1)
    BackupManifest("now", "1", 1, (entry,), {path: Checksum(0, "")}).write(tmp_path)
    with pytest.raises(BackupError, match="is no file of a data directory"):
        verify_backup(tmp_path)


@pytest.mark.parametrize("raw", [{}, [], {"format": 2}, {"format": 1, "files": {}}, {"format": 1, "files": 3}])
def test_a_manifest_that_is_not_understood_is_refused(
    tmp_path: Path, raw: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BackupManifest, "to_json", lambda _: raw)
    BackupManifest("now", "1", 1, (), {}).write(tmp_path)
    assert orjson.loads((tmp_path / "manifest.json").read_bytes()) == raw
    with pytest.raises(BackupError, match=r"is not understood|has format"):
        verify_backup(tmp_path)


def test_progress_ends_with_everything_done(filled: Catalog, folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    back_up(filled, folder, lambda *said: seen.append(said))
    assert seen == sorted(seen)
    assert seen[-1][0] >= verify_backup(folder).bytes - (folder / "catalog.db").stat().st_size
    assert all(done <= expected for done, expected in seen)


def test_a_damaged_collection_is_left_out_only_when_asked(
    filled: Catalog, folder: Path, data_dir: Path, tmp_path: Path, open_catalog: Open
) -> None:
    filled.close()
    (lost,) = [path for path in data_dir.glob("collections/*/store.db") if _documents(path) == 10]
    lost.write_bytes(b"no database" * 1000)
    with owned(data_dir) as directory:
        with pytest.raises(BackupError, match=r"collection 'b' cannot be .*; skip_damaged makes a backup without it"):
            back_up(directory, folder)
        manifest = back_up(directory, folder, skip_damaged=True)
    assert [entry.name for entry in manifest.collections] == ["a"]
    assert [entry.name for entry in manifest.left_out] == ["b"]
    assert verify_backup(folder) == manifest
    shutil.rmtree(data_dir)
    restore.restore(folder, data_dir)
    restored = open_catalog()
    assert (restored.get("a").version, restored.damaged()) == (20, ["b"])


def _documents(store: Path) -> int:
    with closing(sqlite3.connect(store)) as connection:
        return int(connection.execute("SELECT count(*) FROM documents").fetchone()[0])


def test_data_of_a_newer_program_is_not_backed_up(filled: Catalog, folder: Path, data_dir: Path) -> None:
    filled.close()
    (store, *_) = sorted(data_dir.rglob("store.db"))
    for path, rest in (
        (store, "written by a newer program; this one knows"),
        (data_dir / "catalog.db", "newer program"),
    ):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            (known,) = connection.execute("PRAGMA user_version").fetchone()
            connection.execute(f"PRAGMA user_version={known + 1}")
        with owned(data_dir) as directory, pytest.raises(BackupError, match=rest):
            back_up(directory, folder)
        assert names(folder.parent).count(folder.name) == 0
