import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from indexes import byte_search
from indexes.base import Chunk, Document, Vectors
from indexes.erasure import Finding, Proof, erase, needles_in, needles_of, prove_erased, search_files
from indexes.errors import ErasureError, StoreUnavailableError
from indexes.store import Store
from indexes.writer import GroupCommitWriter

Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]
Put = Callable[[str, Sequence[str]], None]

CONFIDED = "the patient was seen on Tuesday by Dr. Adler ☃ "
NOBODY = np.empty((0, 4), dtype=np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "c").mkdir()
    store = Store(tmp_path / "c" / "store.db")
    yield store
    store.close()


@pytest.fixture
def put(store: Store, writer: GroupCommitWriter, cut: Cut, clustered: Callable[[int, int, int], Vectors]) -> Put:
    def write(document_id: str, pieces: Sequence[str]) -> None:
        document, chunks = cut(document_id, pieces)
        vectors = clustered(len(pieces), 32, len(document_id) * 1000 + len(pieces))
        seq = store.last_seq() + 1
        work = partial(store.put, document=document, chunks=chunks, vectors=vectors, seq=seq)
        writer.write(store.database, work)

    return write


def delete(store: Store, writer: GroupCommitWriter, document_id: str) -> None:
    work = partial(store.delete, document_id=document_id, seq=store.last_seq() + 1)
    assert writer.write(store.database, work).outcome == "deleted"


def long_text(seed: int, characters: int) -> str:
    words = np.random.default_rng(seed).integers(10**9, size=characters // 5)
    return " ".join(map(str, words))[:characters]


def test_deleted_text_and_vectors_are_in_the_files_until_they_are_erased(
    store: Store, writer: GroupCommitWriter, put: Put
) -> None:
    put("kept", [long_text(1, 5000), "short"])
    put("gone", [CONFIDED, long_text(2, 30_000), "x"])
    put("kept-too", [long_text(3, 5000)])
    needles = needles_in(store.database, ["gone", "absent"])
    assert len(needles) > 30 * 2
    assert any(CONFIDED.encode()[:24] == needle for needle in needles)
    assert sum(len(needle) == 64 for needle in needles) == 3
    delete(store, writer, "gone")
    before = prove_erased(store.database, needles)
    assert {place.needle for place in before.found} == set(range(len(needles)))
    assert not before.is_clean
    erase(writer, store.database)
    proof = prove_erased(store.database, needles)
    assert (proof.found, proof.needles, proof.shared) == ((), len(needles), 0)
    assert proof.is_clean
    folder = store.database.path.parent
    assert (proof.files, proof.bytes) == (3, sum(path.stat().st_size for path in folder.iterdir()))
    assert (folder / "store.db-wal").stat().st_size == 0
    assert store.counts() == (2, 3)
    assert store.document("kept-too") is not None
    put("after", ["it goes on"])


def test_what_a_live_document_also_contains_is_not_counted(store: Store, writer: GroupCommitWriter, put: Put) -> None:
    boilerplate = long_text(4, 3000)
    put("kept", [boilerplate])
    put("gone", [CONFIDED, boilerplate])
    needles = needles_in(store.database, ["gone"])
    delete(store, writer, "gone")
    erase(writer, store.database)
    assert search_files(store.database.path.parent, needles).found
    proof = prove_erased(store.database, needles)
    assert proof.found == ()
    assert 2 <= proof.shared < proof.needles
    assert proof.is_clean


def test_what_is_left_in_any_file_of_the_folder_is_found(store: Store, writer: GroupCommitWriter, put: Put) -> None:
    put("gone", [CONFIDED])
    needles = needles_in(store.database, ["gone"])
    delete(store, writer, "gone")
    erase(writer, store.database)
    folder = store.database.path.parent
    (folder / "snapshots" / "1").mkdir(parents=True)
    (folder / "snapshots" / "1" / "index").write_bytes(b"\x00" * 5000 + CONFIDED.encode())
    proof = prove_erased(store.database, needles)
    assert Finding("snapshots/1/index", 5000, needles.index(CONFIDED.encode()[:24])) in proof.found
    assert not proof.is_clean


def test_copies_that_migrations_left_are_removed(store: Store, writer: GroupCommitWriter) -> None:
    folder = store.database.path.parent
    (folder / "store.db.v1.bak").write_bytes(CONFIDED.encode())
    (folder / "other").write_bytes(b"")
    erase(writer, store.database)
    assert sorted(path.name for path in folder.iterdir()) == ["other", "store.db", "store.db-shm", "store.db-wal"]


def test_a_copy_that_cannot_be_removed_is_a_typed_error(
    store: Store, writer: GroupCommitWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    (store.database.path.parent / "store.db.v1.bak").write_bytes(b"x")
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ErasureError, match="Permission denied"):
        erase(writer, store.database)


def test_a_read_that_goes_on_is_waited_for_with_a_bound(store: Store, writer: GroupCommitWriter, put: Put) -> None:
    put("gone", [CONFIDED])
    needles = needles_in(store.database, ["gone"])
    with store.snapshot():
        delete(store, writer, "gone")
        with pytest.raises(ErasureError, match=r"more than 0\.05 s keeps the log"):
            erase(writer, store.database, patience_s=0.05)
        assert prove_erased(store.database, needles).found
        put("meanwhile", ["the thread goes on"])
    erase(writer, store.database, patience_s=0.05)
    assert prove_erased(store.database, needles).is_clean
    assert store.database.write_connection.execute("PRAGMA busy_timeout").fetchone() == (10_000,)


def test_a_read_that_ends_in_time_is_no_error(store: Store, writer: GroupCommitWriter, put: Put) -> None:
    put("gone", [CONFIDED])
    with ThreadPoolExecutor(1) as threads:
        begun, waited = threading.Event(), threading.Event()

        def read() -> None:
            with store.snapshot():
                begun.set()
                assert waited.wait(timeout=200)

        reading = threads.submit(read)
        assert begun.wait(timeout=200)
        delete(store, writer, "gone")
        store.database.write_connection.set_trace_callback(
            lambda sql: waited.set() if "wal_checkpoint" in sql else None
        )
        erase(writer, store.database, patience_s=30)
        reading.result(timeout=200)


def test_a_rewrite_that_sqlite_refuses_is_a_typed_error_and_the_data_is_as_it_was(
    store: Store, writer: GroupCommitWriter, put: Put
) -> None:
    put("kept", [long_text(1, 50_000)])
    store.database.write_connection.execute("BEGIN")  # no VACUUM inside of a transaction
    with pytest.raises(StoreUnavailableError, match="cannot VACUUM"):
        erase(writer, store.database)
    assert not store.database.write_connection.in_transaction, "what a job leaves open is rolled back"
    assert store.counts() == (1, 1)
    erase(writer, store.database)


def test_needles_stand_in_every_kilobyte_and_at_the_end() -> None:
    text = long_text(5, 10_000)
    needles = needles_of([text], NOBODY)
    places = sorted(text.encode().find(needle) for needle in needles)
    assert places == [*range(0, 9976, 1024), 9976]
    assert {len(needle) for needle in needles} == {24}


@pytest.mark.parametrize(("text", "count"), [("", 0), ("seven 7", 0), ("eight 88", 1), (" " * 500, 0), ("ab" * 90, 0)])
def test_what_would_be_found_anywhere_is_no_needle(text: str, count: int) -> None:
    assert len(needles_of([text, text], NOBODY)) == count


def test_vectors_are_known_by_their_first_64_bytes_unless_they_are_all_but_zero() -> None:
    vectors = np.random.default_rng(3).normal(size=(5, 24)).astype(np.float32)
    assert needles_of([], vectors) == [vectors[i].astype("<f4").tobytes()[:64] for i in range(5)]
    assert needles_of([], np.asfortranarray(vectors)) == needles_of([], vectors)
    assert needles_of([], np.eye(24, dtype=np.float32)) == []


def test_of_very_many_needles_some_of_all_are_taken(store: Store, put: Put) -> None:
    put("a", [long_text(6, 40_000)])
    put("b", [long_text(7, 40_000)])
    every = needles_in(store.database, ["a", "b"])
    some = needles_in(store.database, ["a", "b"], limit=10)
    assert 5 <= len(some) <= 10
    assert set(some) < set(every)
    assert needles_in(store.database, []) == []


def test_a_needle_too_short_is_refused_and_none_prove_nothing(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="8 bytes at least"):
        search_files(tmp_path, [b"1234567"])
    assert not prove_erased(store.database, []).is_clean
    assert not Proof(1, 1, 2, (), shared=2).is_clean


def test_a_search_that_fails_is_a_typed_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("raise PermissionError(13, 'Permission denied')")
    monkeypatch.setattr(byte_search, "__file__", str(broken))
    with pytest.raises(ErasureError, match="cannot be searched: PermissionError"):
        search_files(tmp_path, [b"12345678"])


def test_a_search_leaves_the_locks_of_the_store_alone(store: Store, put: Put) -> None:
    """POSIX locks are lost when the process closes any descriptor of the file, however it came by it."""

    def locks() -> int:
        """On this store's files alone: those on the files of tests before this one may go at any time."""
        inodes = {str(path.stat().st_ino) for path in store.database.path.parent.iterdir()}
        held = (line.split() for line in Path("/proc/locks").read_text().splitlines())
        return sum(str(os.getpid()) in fields and fields[-3].split(":")[-1] in inodes for fields in held)

    put("a", ["x"])
    with store.snapshot():
        held = locks()
        assert held > 0
        search_files(store.database.path.parent, [b"12345678"])
        assert locks() == held
        byte_search.search(store.database.path.parent, [b"12345678"])
        assert locks() < held, "or this test would see nothing"


def test_a_job_alone_runs_outside_of_a_transaction_between_the_groups(store: Store, writer: GroupCommitWriter) -> None:
    def outside(connection: sqlite3.Connection) -> bool:
        return connection.in_transaction

    assert writer.run_alone(store.database, outside) is False
    with pytest.raises(ValueError, match="bad job"):
        writer.run_alone(store.database, lambda _: int("bad job"))
    with pytest.raises(StoreUnavailableError, match="no such table"):
        writer.run_alone(store.database, lambda connection: connection.execute("SELECT * FROM absent"))
    assert writer.write(store.database, outside) is True
