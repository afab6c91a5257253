import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexes.base import SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.catalog_rows import SCHEMA_VERSION
from indexes.collection_folders import CollectionFolders
from indexes.errors import (
    CollectionConflictError,
    CollectionNotFoundError,
    DataDirectoryError,
    InvalidNameError,
    SnapshotError,
    StoreUnavailableError,
)
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy

Open = Callable[[], Catalog]
Put = Callable[..., str]
Clustered = Callable[[int, int, int], Vectors]

OPEN_ELSEWHERE = """
import sys
from pathlib import Path
from indexes.catalog import Catalog
from indexes.collection_folders import CollectionFolders
from indexes.upkeep import IndexPolicy
from indexes.errors import DataDirectoryError
try:
    Catalog(Path(sys.argv[1]), IndexPolicy(256)).close()
    print("opened")
except DataDirectoryError as error:
    print(error)
"""


def open_elsewhere(data_dir: Path) -> str:
    """What another process says when it opens ``data_dir``."""
    command = [sys.executable, "-c", OPEN_ELSEWHERE, str(data_dir)]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, check=True).stdout.strip()


def edit(data_dir: Path, sql: str) -> None:
    connection = sqlite3.connect(data_dir / "catalog.db")
    connection.execute(sql)
    connection.commit()
    connection.close()


def folders(data_dir: Path) -> list[Path]:
    return list((data_dir / "collections").iterdir())


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def test_a_second_catalog_in_this_process_is_refused(open_catalog: Open, data_dir: Path) -> None:
    open_catalog()
    with pytest.raises(DataDirectoryError, match="in use by another process"):
        Catalog(data_dir, IndexPolicy(256))


def test_another_process_is_refused_until_the_catalog_is_closed(open_catalog: Open, data_dir: Path) -> None:
    catalog = open_catalog()
    assert open_elsewhere(data_dir) == f"{data_dir} is in use by another process"
    catalog.close()
    assert open_elsewhere(data_dir) == "opened"


@pytest.mark.contract
def test_a_collection_is_created_once_and_found_after_reopening(
    open_catalog: Open, put: Put, clustered: Clustered, spec: CollectionSpec
) -> None:
    catalog, vectors = open_catalog(), clustered(1, 16, 1)
    collection, created = catalog.ensure("docs", spec)
    assert created
    assert catalog.ensure("docs", spec) == (collection, False)
    put(collection, "a", ["x"], vectors)
    catalog = open_catalog()
    assert catalog.names() == ["docs"]
    assert catalog.get("docs").spec == spec
    assert catalog.get("docs").document("a").text == "x"


def test_names_are_sorted_and_an_unknown_one_is_a_typed_error(open_catalog: Open, spec: CollectionSpec) -> None:
    catalog = open_catalog()
    for name in ["b", "a", "C"]:
        catalog.ensure(name, spec)
    assert catalog.names() == ["C", "a", "b"]
    with pytest.raises(CollectionNotFoundError, match="'absent'"):
        catalog.get("absent")
    with pytest.raises(CollectionNotFoundError, match="'absent'"):
        catalog.drop("absent")


@pytest.mark.parametrize("name", ["a", "A9", "0", "a.b-c_d", "x" * 64])
def test_good_names_are_taken(open_catalog: Open, spec: CollectionSpec, name: str) -> None:
    assert open_catalog().ensure(name, spec)[1]


@pytest.mark.parametrize("name", ["", ".", "..", "-a", "_a", "a/b", "a b", "ä", "a\n", "a\x00", "x" * 65, "../a"])
def test_bad_names_are_refused_and_named(open_catalog: Open, spec: CollectionSpec, name: str) -> None:
    catalog = open_catalog()
    with pytest.raises(InvalidNameError) as refused:
        catalog.ensure(name, spec)
    assert repr(name) in str(refused.value)
    assert catalog.names() == []


@pytest.mark.contract
def test_another_identity_under_the_same_name_is_a_conflict_that_says_what_differs(
    open_catalog: Open, spec: CollectionSpec
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    with pytest.raises(CollectionConflictError) as conflict:
        catalog.ensure("docs", replace(spec, embedding_model="other", chunk_size=7))
    assert "embedding_model is 'test-model', not 'other'" in str(conflict.value)
    assert "chunk_size is 100, not 7" in str(conflict.value)
    assert "dimension" not in str(conflict.value)


@pytest.mark.contract
def test_collections_do_not_see_each_other(
    open_catalog: Open, put: Put, clustered: Clustered, spec: CollectionSpec
) -> None:
    catalog, vectors = open_catalog(), clustered(1, 16, 1)
    first, second = catalog.ensure("one", spec)[0], catalog.ensure("two", spec)[0]
    put(first, "a", ["x"], vectors)
    assert second.search(vectors[0], SearchParams()) == []


@pytest.mark.contract
def test_threads_that_ask_for_the_same_name_get_one_collection(open_catalog: Open, spec: CollectionSpec) -> None:
    catalog = open_catalog()
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda _: catalog.ensure("docs", spec), range(8)))
    assert len({id(collection) for collection, _ in results}) == 1
    assert sum(created for _, created in results) == 1


@pytest.mark.contract
def test_a_dropped_collection_takes_its_files_along_and_stays_dropped(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    catalog.ensure("kept", spec)
    assert len(folders(data_dir)) == 2
    catalog.drop("docs")
    assert len(folders(data_dir)) == 1
    assert catalog.names() == ["kept"]
    assert open_catalog().names() == ["kept"]


@pytest.mark.contract
def test_a_dropped_name_is_free_and_its_new_collection_empty(
    open_catalog: Open, put: Put, clustered: Clustered, spec: CollectionSpec
) -> None:
    catalog, vectors = open_catalog(), clustered(1, 16, 1)
    old = catalog.ensure("docs", spec)[0]
    put(old, "a", ["x"], vectors)
    catalog.drop("docs")
    new, created = catalog.ensure("docs", replace(spec, chunk_size=5))
    assert created
    assert new.search(vectors[0], SearchParams()) == []
    with pytest.raises(StoreUnavailableError):
        old.search(vectors[0], SearchParams())


@pytest.mark.contract
def test_an_interrupted_drop_is_finished_at_the_next_start(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    catalog.ensure("kept", spec)
    catalog.close()
    edit(data_dir, "UPDATE collections SET name = NULL WHERE name = 'docs'")
    catalog = open_catalog()
    assert catalog.names() == ["kept"]
    assert len(folders(data_dir)) == 1
    catalog.close()
    connection = sqlite3.connect(data_dir / "catalog.db")
    assert connection.execute("SELECT name FROM collections").fetchall() == [("kept",)]
    connection.close()


def test_files_that_cannot_be_removed_with_their_collection_are_removed_at_a_later_start(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    with monkeypatch.context() as patched:
        patched.setattr("indexes.collection_folders.shutil.rmtree", lambda *_, **__: None)
        catalog.drop("docs")
        assert open_catalog().names() == []
    assert len(folders(data_dir)) == 1
    assert open_catalog().names() == []
    assert folders(data_dir) == []


def test_an_index_that_is_saved_late_does_not_bring_a_dropped_folder_back(
    open_catalog: Open, put: Put, clustered: Clustered, spec: CollectionSpec, data_dir: Path
) -> None:
    catalog = open_catalog()
    collection = catalog.ensure("docs", spec)[0]
    put(collection, "a", ["x"] * 256, clustered(256, 16, 1))
    assert collection.upkeep.step() == "sealed"
    catalog.drop("docs")
    with pytest.raises(SnapshotError, match="cannot write a snapshot"):
        collection.upkeep.save()
    assert folders(data_dir) == []


@pytest.mark.contract
def test_dropping_a_collection_that_is_being_written_to_fails_its_writers_only(
    open_catalog: Open, put: Put, clustered: Clustered, spec: CollectionSpec
) -> None:
    catalog, vectors = open_catalog(), clustered(3, 16, 1)

    def write_until_refused(start: threading.Barrier) -> None:
        collection = catalog.get("docs")
        start.wait(timeout=200)
        for i in range(10_000):
            put(collection, f"d{i % 3}", ["x", "y", "z"], vectors)

    with ThreadPoolExecutor(3) as threads:
        for _ in range(10):
            catalog.ensure("docs", spec)
            start = threading.Barrier(4)
            writing = [threads.submit(write_until_refused, start) for _ in range(3)]
            start.wait(timeout=200)
            catalog.drop("docs")
            assert all(isinstance(job.exception(timeout=200), StoreUnavailableError) for job in writing)
    assert put(catalog.ensure("docs", spec)[0], "a", ["x"], np.ones((1, 16), dtype=np.float32)) == "created"


def test_data_of_a_newer_program_is_refused_and_lets_go_of_the_directory(open_catalog: Open, data_dir: Path) -> None:
    open_catalog().close()
    edit(data_dir, "PRAGMA user_version=99")
    with pytest.raises(DataDirectoryError, match=r"catalog\.db has schema version 99"):
        Catalog(data_dir, IndexPolicy(256))
    edit(data_dir, f"PRAGMA user_version={SCHEMA_VERSION}")
    open_catalog()


def test_a_store_of_a_newer_program_costs_one_collection(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    (folder,) = folders(data_dir)
    catalog.ensure("other", spec)
    catalog.close()
    with closing(sqlite3.connect(folder / "store.db")) as connection:
        connection.execute("PRAGMA user_version=99")
    catalog = open_catalog()
    assert catalog.get("other").version == 0
    with pytest.raises(StoreUnavailableError, match=rf"'docs' could not be opened: {folder}/store\.db has .* 99"):
        catalog.get("docs")


@pytest.mark.parametrize("leave", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_lost_catalogue_is_refused_while_there_are_stores(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path, leave: Callable[[Path], object]
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    catalog.close()
    kept = (data_dir / "catalog.db").read_bytes()
    leave(data_dir / "catalog.db")
    with pytest.raises(DataDirectoryError, match=r"catalog\.db is missing or empty, .* the stores of 1 collections"):
        Catalog(data_dir, IndexPolicy(256))
    (data_dir / "catalog.db").write_bytes(kept)
    assert open_catalog().names() == ["docs"]


def test_a_damaged_file_costs_one_collection(open_catalog: Open, spec: CollectionSpec, data_dir: Path) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    (store,) = [folder / "store.db" for folder in folders(data_dir)]
    catalog.ensure("other", spec)
    catalog.close()
    kept = store.read_bytes()
    store.write_bytes(b"no database" * 1000)
    catalog = open_catalog()
    assert (catalog.names(), catalog.damaged()) == (["docs", "other"], ["docs"])
    assert catalog.get("other").version == 0
    with pytest.raises(StoreUnavailableError, match=r"'docs' could not be opened: .*store\.db"):
        catalog.get("docs")
    with pytest.raises(StoreUnavailableError, match="'docs'"):
        catalog.ensure("docs", spec)
    catalog.close()
    assert store.read_bytes() == b"no database" * 1000
    store.write_bytes(kept)
    assert open_catalog().get("docs").version == 0


@pytest.mark.parametrize("stored", ["not JSON", '{"unknown": 1}', "{}", "[]"])
def test_an_identity_that_cannot_be_read_costs_one_collection(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path, stored: str
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    catalog.ensure("other", spec)
    catalog.close()
    edit(data_dir, f"UPDATE collections SET spec = '{stored}' WHERE name = 'docs'")  # noqa: S608
    catalog = open_catalog()
    assert catalog.get("other").version == 0
    with pytest.raises(StoreUnavailableError, match="'docs' could not be opened"):
        catalog.get("docs")


def test_a_store_that_is_missing_is_not_made_anew(open_catalog: Open, spec: CollectionSpec, data_dir: Path) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    (store,) = [folder / "store.db" for folder in folders(data_dir)]
    catalog.ensure("other", spec)
    catalog.close()
    kept = store.rename(data_dir / "kept.db")
    catalog = open_catalog()
    assert catalog.get("other").version == 0
    with pytest.raises(StoreUnavailableError, match=r"'docs' could not be opened: .*store\.db is missing"):
        catalog.get("docs")
    catalog.close()
    assert not store.exists()
    kept.rename(store)
    assert open_catalog().get("docs").version == 0


def test_a_collection_without_a_store_has_no_name_yet(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    catalog = open_catalog()
    with monkeypatch.context() as patched:
        patched.setattr(CollectionFolders, "open", killed)
        patched.setattr(CollectionFolders, "purge", lambda *_: None)
        with pytest.raises(KeyboardInterrupt):
            catalog.ensure("docs", spec)
    assert "docs" not in catalog
    catalog.close()
    catalog = open_catalog()
    assert (catalog.names(), folders(data_dir)) == ([], [])
    assert catalog.ensure("docs", spec)[1]


def test_a_damaged_collection_can_be_dropped(open_catalog: Open, spec: CollectionSpec, data_dir: Path) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    catalog.close()
    (folder,) = folders(data_dir)
    (folder / "store.db").write_bytes(b"no database" * 1000)
    catalog = open_catalog()
    catalog.drop("docs")
    assert catalog.names() == []
    assert folders(data_dir) == []
    assert catalog.ensure("docs", spec)[1]


def test_a_data_directory_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataDirectoryError, match="cannot create"):
        Catalog(tmp_path / "file", IndexPolicy(256))
