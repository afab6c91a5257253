"""Whether what is on disk and in memory is what was stored."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from indexes.base import Vectors
from indexes.checksums import checksum
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
        connection.create_function("checksum", -1, checksum)
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
        "INSERT INTO chunks SELECT row + 1, document, 9, text, start, end, heading_path, page, "
        "checksum(row + 1, document, 9, CAST(text AS BLOB), start, end, CAST(heading_path AS BLOB), page) FROM chunks "
        "ORDER BY row DESC LIMIT 1",
    )
    insert = "INSERT INTO vectors SELECT ?1, vector, checksum(?1, vector) FROM vectors LIMIT 1"
    behind_its_back(store_file, insert, row)
    assert collection.verify().problems == [
        f"1 stored rows are not in the {index}, as row {row}" for index in ("index", "lexical index")
    ]


def test_a_row_that_only_memory_has(collection: Collection, store_file: Path) -> None:
    behind_its_back(store_file, "DELETE FROM vectors WHERE chunk IN (5, 6)")
    behind_its_back(store_file, "DELETE FROM chunks WHERE row IN (5, 6)")
    found = collection.verify()
    assert found.problems == ["2 rows of the index are not stored, as row 5"]
    assert found.vectors == 8 * DOCUMENTS - 1


def test_a_changed_vector_on_the_disk_names_its_document_and_what_to_do(
    collection: Collection, open_collection: Open, put: Put, store_file: Path
) -> None:
    other = np.ones(DIMENSION, dtype="<f4").tobytes()
    behind_its_back(store_file, "UPDATE vectors SET vector = ? WHERE chunk IN (7, 300)", other)
    said = "the store: 2 stored vectors are damaged, of document 'd0', 'd37': delete and put again, or restore a backup"
    assert collection.verify().problems == [said]
    collection = open_collection()  # memory has the damaged ones too
    assert collection.verify().problems == [said]
    for document, first in (("d0", 0), ("d37", 37 * 8)):
        collection.delete(document, collection.accept())
        put(collection, document, list("abcdefgh"), np.eye(8, DIMENSION, first % 8, dtype=np.float32))
    assert collection.verify().problems == []


def test_a_vector_that_changed_in_memory_asks_for_a_rebuild(collection: Collection) -> None:
    collection._live.now.rows.vectors()[6] += 1
    said = f"1 of {8 * DOCUMENTS + 1} vectors in memory are not those that were stored, as of 'd0': rebuild"
    assert collection.verify().problems == [said]
    collection.rebuild()
    assert collection.verify().problems == []


def test_a_rebuild_does_not_replace_a_good_vector_by_a_damaged_one(
    collection: Collection, open_collection: Open, store_file: Path
) -> None:
    good = collection._live.now.rows.vectors()[6].copy()
    behind_its_back(store_file, "UPDATE vectors SET vector = zeroblob(64) WHERE chunk = 7")
    collection.rebuild()
    np.testing.assert_array_equal(collection._live.now.rows.vectors()[6], good)
    (trouble,) = collection.describe().trouble
    assert "1 stored vectors are damaged, of document 'd0'" in trouble
    assert collection.verify().problems == [trouble]


def test_a_start_names_damaged_vectors_until_their_document_is_gone(
    collection: Collection, open_collection: Open, store_file: Path
) -> None:
    behind_its_back(store_file, "UPDATE vectors SET vector = zeroblob(64) WHERE chunk = 7")
    for _ in range(2):
        collection = open_collection()
        assert collection.upkeep.is_due
        while collection.upkeep.step():
            pass
        (trouble,) = collection.describe().trouble
        assert "'d0'" in trouble
    collection.delete("d0", collection.accept())
    assert list(collection.describe().trouble) == []


def test_a_vector_of_another_length_does_not_shift_the_others(
    collection: Collection, open_collection: Open, store_file: Path
) -> None:
    before = collection._live.now.rows.vectors().copy()
    behind_its_back(store_file, "UPDATE vectors SET vector = x'00' WHERE chunk = 7")
    collection = open_collection()
    after = collection._live.now.rows.vectors()
    assert np.flatnonzero((before != after).any(axis=1)).tolist() == [6]
    (problem,) = collection.verify().problems
    assert "'d0'" in problem


def test_a_byte_of_a_vector_that_changed_on_the_disk(
    collection: Collection, open_collection: Open, store_file: Path, clustered: Clustered
) -> None:
    collection = open_collection()  # the log is in the file from here on
    vector = clustered(8 * DOCUMENTS, DIMENSION, 3)[100].tobytes()
    data = bytearray(store_file.read_bytes())
    data[data.index(vector)] ^= 1
    store_file.write_bytes(data)
    (problem,) = collection.verify().problems
    assert "1 stored vectors are damaged, of document 'd12'" in problem


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE documents SET text = 'abcdefgH' WHERE id = 'd3'",
        "UPDATE documents SET title = '' WHERE id = 'd3'",
        "UPDATE documents SET metadata = '{' WHERE id = 'd3'",
        "UPDATE documents SET url = '' WHERE id = 'd3'",
        "UPDATE documents SET format = 'html' WHERE id = 'd3'",
        "UPDATE documents SET content_hash = x'00' WHERE id = 'd3'",
        "UPDATE documents SET text = CAST(x'61ff' AS TEXT) WHERE id = 'd3'",
        "UPDATE chunks SET text = 'B' WHERE row = 26",
        "UPDATE chunks SET start = 7 WHERE row = 26",
        "UPDATE chunks SET end = 7 WHERE row = 26",
        "UPDATE chunks SET ordinal = 12 WHERE row = 26",
        "UPDATE chunks SET heading_path = '' WHERE row = 26",
        "UPDATE chunks SET page = 0 WHERE row = 26",
    ],
)
def test_a_change_of_anything_a_reply_is_made_of(collection: Collection, store_file: Path, change: str) -> None:
    behind_its_back(store_file, change)
    said = "the store: what is stored of document 'd3' is damaged: delete and put again, or restore a backup"
    assert collection.verify().problems == [said]


def test_no_more_than_ten_damaged_documents_are_named(collection: Collection, store_file: Path) -> None:
    behind_its_back(store_file, "UPDATE documents SET text = ''")
    (problem,) = collection.verify().problems
    assert "'d17' and 31 more is damaged" in problem
    assert "'d18'" not in problem


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


def test_one_rebuild_clears_a_damaged_snapshot_that_would_be_kept_as_the_older_one(
    collection: Collection, store_file: Path
) -> None:
    (index,) = store_file.parent.rglob("index.faiss")
    index.write_bytes(b"damaged")
    assert collection.verify().problems
    collection.rebuild()
    assert collection.verify().problems == []
    assert collection.describe().snapshot is not None


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
    verify(
        collection._store, collection._live, collection._snapshots, collection.lexical, lambda *step: told.append(step)
    )
    assert told[-1] == (8 * DOCUMENTS + 1, 8 * DOCUMENTS + 1)
    assert collection.upkeep.working_on is None
