"""Whether what is on disk and in memory is what was stored."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from indexes.base import Vectors
from indexes.collection import Collection
from indexes.errors import StoreUnavailableError
from indexes.verification import verify

Open = Callable[[], Collection]
Put = Callable[..., str]
Clustered = Callable[[int, int, int], Vectors]

DIMENSION, DOCUMENTS = 16, 40


@pytest.fixture
def collection(open_collection: Open, put: Put, clustered: Clustered) -> Collection:
    """40 documents of eight chunks, sealed and saved, and one more in the tail."""
    collection, vectors = open_collection(), clustered(8 * DOCUMENTS, DIMENSION, 3)
    for i in range(DOCUMENTS):
        put(collection, f"d{i}", list("abcdefgh"), vectors[8 * i : 8 * i + 8])
    while collection.upkeep.step():
        pass
    put(collection, "tail", ["x"], vectors[:1])
    return collection


@pytest.fixture
def store_file(collection: Collection, tmp_path: Path) -> Path:
    (path,) = (tmp_path / "data" / "collections").glob("*/store.db")
    return path


def behind_its_back(store: Path, sql: str, *values: object) -> None:
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute(sql, values)


def test_all_is_well(collection: Collection, open_collection: Open) -> None:
    for reopen in (lambda: collection, open_collection):
        looked_at = reopen()
        found = looked_at.verify()
        assert (found.rows, found.vectors, found.version) == (8 * DOCUMENTS + 1, 8 * DOCUMENTS + 1, DOCUMENTS + 1)
        assert found.problems == []
        assert looked_at.working_on is None


def test_an_empty_collection_is_well(open_collection: Open) -> None:
    assert open_collection().verify().problems == []


def test_rows_that_were_deleted_are_not_missed(collection: Collection) -> None:
    collection.delete("d3", collection.accept())
    found = collection.verify()
    assert (found.rows, found.problems) == (8 * (DOCUMENTS - 1) + 1, [])


def test_a_row_that_memory_lacks(collection: Collection, store_file: Path) -> None:
    row = 8 * DOCUMENTS + 2
    behind_its_back(
        store_file,
        "INSERT INTO chunks SELECT row + 1, document, 9, text, start, end, heading_path, page FROM chunks "
        "ORDER BY row DESC LIMIT 1",
    )
    behind_its_back(store_file, "INSERT INTO vectors SELECT ?, vector FROM vectors LIMIT 1", row)
    assert collection.verify().problems == [f"1 stored rows are not in the index, as row {row}"]


def test_a_row_that_only_memory_has(collection: Collection, store_file: Path) -> None:
    behind_its_back(store_file, "DELETE FROM vectors WHERE chunk IN (5, 6)")
    behind_its_back(store_file, "DELETE FROM chunks WHERE row IN (5, 6)")
    found = collection.verify()
    assert found.problems == ["2 rows of the index are not stored, as row 5"]
    assert found.vectors == 8 * DOCUMENTS - 1


def test_a_changed_vector(collection: Collection, store_file: Path) -> None:
    other = np.ones(DIMENSION, dtype="<f4").tobytes()
    behind_its_back(store_file, "UPDATE vectors SET vector = ? WHERE chunk IN (7, 300)", other)
    assert collection.verify().problems == [f"2 of {8 * DOCUMENTS + 1} vectors in memory differ, as of row 7"]


def test_a_byte_of_a_vector_that_changed_on_the_disk(
    collection: Collection, open_collection: Open, store_file: Path, clustered: Clustered
) -> None:
    collection = open_collection()  # the log is in the file from here on
    vector = clustered(8 * DOCUMENTS, DIMENSION, 3)[100].tobytes()
    data = bytearray(store_file.read_bytes())
    data[data.index(vector)] ^= 1
    store_file.write_bytes(data)
    assert collection.verify().problems == [f"1 of {8 * DOCUMENTS + 1} vectors in memory differ, as of row 101"]


def test_a_chunk_without_a_vector(collection: Collection, store_file: Path) -> None:
    behind_its_back(store_file, "DELETE FROM vectors WHERE chunk = 9")
    assert "1 chunks have no vector" in collection.verify().problems


def test_a_damaged_snapshot(collection: Collection, store_file: Path) -> None:
    (path,) = store_file.parent.rglob("index.faiss")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (problem,) = collection.verify().problems
    assert "index.faiss is damaged" in problem


@pytest.mark.parametrize("page", [2, 5, -1])
def test_a_damaged_store(collection: Collection, open_collection: Open, store_file: Path, page: int) -> None:
    collection = open_collection()  # the log is in the file from here on
    pages = store_file.stat().st_size // 4096
    with store_file.open("r+b") as file:
        file.seek(page % pages * 4096)
        file.write(bytes([0xFF]) * 4096)
    assert collection.verify().problems


def test_a_closed_collection_is_no_damage(collection: Collection) -> None:
    collection.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        collection.verify()


def test_progress_ends_with_every_vector(collection: Collection) -> None:
    told: list[tuple[int, int]] = []
    verify(collection._store, collection._live, collection._snapshots, lambda *step: told.append(step))
    assert told[-1] == (8 * DOCUMENTS + 1, 8 * DOCUMENTS + 1)
    assert collection.upkeep.working_on is None
