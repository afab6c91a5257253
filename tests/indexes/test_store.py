import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from indexes.base import Chunk, Document, Vectors
from indexes.errors import DataDirectoryError, StoreUnavailableError
from indexes.store import Change, Store
from indexes.store_schema import SCHEMA_VERSION
from indexes.writer import GroupCommitWriter

Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]
Clustered = Callable[[int, int, int], Vectors]

DIMENSION = 8


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = Store(path)
    yield store
    store.close()


@pytest.fixture
def put(store: Store, writer: GroupCommitWriter, cut: Cut) -> Callable[..., Change]:
    """(id, pieces, seq) -> change; the vectors of a document are its row numbers."""

    def write(document_id: str, pieces: Sequence[str], seq: int) -> Change:
        document, chunks = cut(document_id, pieces)
        vectors = np.arange(len(pieces) * DIMENSION, dtype=np.float32).reshape(len(pieces), DIMENSION)
        work = partial(store.put, document=document, chunks=chunks, vectors=vectors, seq=seq)
        return writer.write(store.database, work)

    return write


@pytest.fixture
def delete(store: Store, writer: GroupCommitWriter) -> Callable[[str, int], Change]:
    return lambda document_id, seq: writer.write(
        store.database, partial(store.delete, document_id=document_id, seq=seq)
    )


def chunks_of(store: Store, change: Change) -> list[Chunk]:
    with store.snapshot() as snapshot:
        found = snapshot.chunks(change.added.tolist())
    return [found[row].chunk for row in change.added.tolist()]


def test_a_document_and_its_chunks_come_back_equal(store: Store, writer: GroupCommitWriter) -> None:
    text = "# Kopf\nGrüße, 世界 👩‍🚀\nnul \x00 inside"
    document = Document("ä/1", "Tïtle", text, {"n": 1, "ü": ["a", None]}, "https://e.x/ü", "markdown", b"\x00\xff")
    chunks = [
        Chunk("ä/1", 0, text[:9], 0, 9, heading_path=("Kopf", "\u202ertl"), page=3),
        Chunk("ä/1", 1, text[9:], 9, len(text)),
    ]
    work = partial(store.put, document=document, chunks=chunks, vectors=np.eye(2, 8, dtype=np.float32), seq=1)
    change = writer.write(store.database, work)
    assert store.document("ä/1") == document
    assert store.content_hash("ä/1") == b"\x00\xff"
    assert chunks_of(store, change) == chunks
    assert store.documents("", 10) == [("ä/1", "Tïtle", "https://e.x/ü", {"n": 1, "ü": ["a", None]})]


def test_everything_is_there_after_reopening(store: Store, path: Path, put: Callable[..., Change]) -> None:
    change = put("a", ["one ", "two"], 4)
    again = Store(path)
    assert again.document("a") == store.document("a")
    assert chunks_of(again, change) == chunks_of(store, change)
    assert (again.version(), again.last_seq(), again.counts()) == (1, 4, (1, 2))
    again.close()


def test_an_absent_document_is_none(store: Store) -> None:
    assert store.document("a") is None
    assert store.content_hash("a") is None
    assert (store.version(), store.last_seq(), store.counts()) == (0, 0, (0, 0))


def test_replacing_removes_every_old_row_and_never_reuses_one(store: Store, put: Callable[..., Change]) -> None:
    first = put("a", ["1", "2", "3"], 1)
    second = put("a", ["4"], 2)
    assert (first.outcome, second.outcome) == ("created", "updated")
    assert list(second.removed) == first.added.tolist()
    assert second.added.min() > first.added.max()
    assert store.counts() == (1, 1)
    assert [block.ids.tolist() for block in store.scan(DIMENSION)] == [second.added.tolist()]


def test_rows_of_a_deleted_document_are_not_reused_after_reopening(
    path: Path, put: Callable[..., Change], delete: Callable[[str, int], Change], writer: GroupCommitWriter, cut: Cut
) -> None:
    last = put("a", ["1", "2"], 1).added.max()
    delete("a", 2)
    again = Store(path)
    document, chunks = cut("b", ["x"])
    vectors = np.zeros((1, DIMENSION), dtype=np.float32)
    work = partial(again.put, document=document, chunks=chunks, vectors=vectors, seq=3)
    assert writer.write(again.database, work).added.tolist() == [last + 1]
    again.close()


def test_each_operation_has_the_next_version(
    store: Store, put: Callable[..., Change], delete: Callable[[str, int], Change]
) -> None:
    versions = [put("a", ["1"], 1).version, put("b", ["1"], 2).version, delete("a", 3).version, delete("a", 4).version]
    assert versions == [1, 2, 3, 4]
    assert store.version() == 4


def test_an_older_write_does_not_undo_a_newer_write(store: Store, put: Callable[..., Change]) -> None:
    put("a", ["new"], 5)
    late = put("a", ["old"], 4)
    assert (late.outcome, late.vectors, len(late.removed)) == ("superseded", None, 0)
    document = store.document("a")
    assert document is not None
    assert document.text == "new"


def test_an_older_write_does_not_undo_a_newer_delete(
    store: Store, put: Callable[..., Change], delete: Callable[[str, int], Change]
) -> None:
    put("a", ["new"], 1)
    assert delete("a", 3).outcome == "deleted"
    assert put("a", ["old"], 2).outcome == "superseded"
    assert store.document("a") is None


def test_deleting_what_is_absent_still_holds_back_older_writes(
    store: Store, put: Callable[..., Change], delete: Callable[[str, int], Change]
) -> None:
    assert delete("a", 3).outcome == "absent"
    assert put("a", ["old"], 2).outcome == "superseded"
    assert put("a", ["new"], 4).outcome == "created"


def test_an_older_delete_does_not_remove_a_newer_write(
    store: Store, put: Callable[..., Change], delete: Callable[[str, int], Change]
) -> None:
    put("a", ["new"], 2)
    assert delete("a", 1).outcome == "superseded"
    assert store.document("a") is not None


def test_a_snapshot_keeps_its_chunks_while_they_are_replaced(
    store: Store, put: Callable[..., Change], cut: Cut
) -> None:
    first = put("a", ["one ", "two"], 1)
    with store.snapshot() as before:
        second = put("a", ["three"], 2)
        assert before.version == 1
        assert set(before.chunks(first.added.tolist())) == set(first.added.tolist())
        assert before.chunks(second.added.tolist()) == {}
    with store.snapshot() as after:
        assert after.version == 2
        assert after.chunks(first.added.tolist()) == {}


def test_chunks_of_no_rows_are_none(store: Store) -> None:
    with store.snapshot() as snapshot:
        assert snapshot.chunks([]) == {}


@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_a_scan_gives_every_row_once_in_order_with_the_metadata_of_its_document(
    store: Store, writer: GroupCommitWriter, cut: Cut, clustered: Clustered, rows: int
) -> None:
    vectors = clustered(21, DIMENSION, 5)
    for i in range(7):
        document, chunks = cut(f"d{i}", ["a", "b", "c"])
        document = replace(document, metadata={"number": i})
        work = partial(store.put, document=document, chunks=chunks, vectors=vectors[3 * i : 3 * i + 3], seq=i + 1)
        writer.write(store.database, work)
    blocks = list(store.scan(DIMENSION, rows))
    assert all(len(block.ids) == len(block.vectors) == len(block.documents) <= rows for block in blocks)
    assert np.concatenate([block.ids for block in blocks]).tolist() == list(range(1, 22))
    np.testing.assert_array_equal(np.concatenate([block.vectors for block in blocks]), vectors)
    numbers = [block.metadata[document]["number"] for block in blocks for document in block.documents]
    assert numbers == [row // 3 for row in range(21)]


def test_a_scan_of_an_empty_store_gives_no_block(store: Store) -> None:
    assert list(store.scan(DIMENSION)) == []


def test_documents_are_listed_by_id_from_a_cursor(store: Store, put: Callable[..., Change]) -> None:
    for seq, document_id in enumerate(["c", "a", "b", "d"], start=1):
        put(document_id, ["x"], seq)
    assert [row[0] for row in store.documents("", 2)] == ["a", "b"]
    assert [row[0] for row in store.documents("b", 10)] == ["c", "d"]
    assert store.documents("d", 10) == []


def test_confirming_takes_the_hash_and_raises_the_sequence(
    store: Store, writer: GroupCommitWriter, put: Callable[..., Change]
) -> None:
    put("a", ["x"], 1)
    confirm = partial(store.confirm, document_id="a", seq=9)
    assert writer.write(store.database, partial(confirm, content_hash=b"other")).outcome == "absent"
    assert store.last_seq() == 1
    assert writer.write(store.database, partial(confirm, content_hash=b"x")).outcome == "unchanged"
    assert (store.last_seq(), store.version()) == (9, 1)
    assert put("a", ["older"], 8).outcome == "superseded"


def test_a_write_with_fewer_vectors_than_chunks_leaves_nothing_behind(
    store: Store, writer: GroupCommitWriter, cut: Cut
) -> None:
    document, chunks = cut("a", ["1", "2"])
    vectors = np.zeros((1, DIMENSION), dtype=np.float32)
    with pytest.raises(ValueError, match="zip"):
        writer.write(store.database, partial(store.put, document=document, chunks=chunks, vectors=vectors, seq=1))
    assert store.counts() == (0, 0)
    assert store.version() == 0


def test_two_documents_do_not_share_rows(store: Store, put: Callable[..., Change]) -> None:
    a, b = put("a", ["1", "2"], 1), put("b", ["1", "2"], 2)
    assert not set(a.added.tolist()) & set(b.added.tolist())
    assert [chunk.document_id for chunk in chunks_of(store, b)] == ["b", "b"]


def test_a_store_of_a_newer_program_is_refused(store: Store, path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(DataDirectoryError, match=f"schema version {SCHEMA_VERSION + 1}"):
        Store(path)


def test_a_closed_store_refuses_reads_and_writes(store: Store, writer: GroupCommitWriter, cut: Cut) -> None:
    store.close()
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.document("a")
    document, chunks = cut("a", ["x"])
    work = partial(store.put, document=document, chunks=chunks, vectors=np.zeros((1, 8), dtype=np.float32), seq=1)
    with pytest.raises(StoreUnavailableError, match="closed"):
        writer.write(store.database, work)


def test_a_chunk_id_is_its_document_and_ordinal() -> None:
    chunk = Chunk("a", 3, "x", 0, 1)
    assert chunk.id == "a#3"
    assert replace(chunk, ordinal=4).id == "a#4"
