"""What was deleted leaves files, index and snapshots."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexes import purge as purging
from indexes.base import Chunk, Document, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.erasure import Finding, Proof, search_files
from indexes.errors import ErasureError
from indexes.filters import parse_filter
from indexes.purge import dead_rows, needles_of_dead
from indexes.spec import CollectionSpec
from indexes.writer import GroupCommitWriter

Open = Callable[[], Collection]
Put = Callable[..., str]
Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]
Clustered = Callable[[int, int, int], Vectors]

DIMENSION, DOCUMENTS = 32, 40
CONFIDED = "the patient was seen on Tuesday by Dr. Adler"


@pytest.fixture
def spec(spec: CollectionSpec) -> CollectionSpec:
    return replace(spec, dimension=DIMENSION)


@pytest.fixture
def collection(open_collection: Open, put: Put, clustered: Clustered) -> Collection:
    collection, vectors = open_collection(), clustered(8 * DOCUMENTS, DIMENSION, 3)
    for i in range(DOCUMENTS):
        put(collection, f"d{i}", [CONFIDED if i == 0 else f"piece {i}", *"bcdefgh"], vectors[8 * i : 8 * i + 8])
    while collection.upkeep.step():
        pass
    return collection


def held(folder: Path, needles: Sequence[bytes]) -> tuple[Finding, ...]:
    return search_files(folder, needles).found


def test_a_deleted_document_leaves_files_memory_and_snapshots(collection: Collection, tmp_path: Path) -> None:
    needles = collection.needles(["d0"])
    assert len(needles) >= 9
    old = collection.describe().snapshot
    collection.delete("d0", collection.accept())
    assert held(tmp_path, needles)
    proof = collection.purge(needles)
    assert (proof.found, proof.shared) == ((), 0)
    assert proof.is_clean
    assert held(tmp_path, needles) == ()
    assert collection.describe().dead_rows == 0
    new = collection.describe().snapshot
    assert old and new and new.name > old.name
    assert len(list(tmp_path.rglob("index.faiss"))) == 1
    assert collection.verify().problems == []


def test_it_is_valid_after_a_restart(collection: Collection, open_collection: Open, clustered: Clustered) -> None:
    collection.delete("d0", collection.accept())
    collection.purge([])
    again = open_collection()
    assert [segment["rows"] for segment in again.describe().segments] == [8 * (DOCUMENTS - 1), 0]
    hits = again.search(clustered(1, DIMENSION, 3)[0], SearchParams(top_k=1000))
    assert CONFIDED not in {hit.chunk.text for hit in hits}


def test_vectors_that_died_are_looked_for_without_being_asked(
    collection: Collection, put: Put, clustered: Clustered
) -> None:
    vectors = clustered(8 * DOCUMENTS, DIMENSION, 3)
    assert needles_of_dead(collection._live.now) == []
    put(collection, "d1", ["again"], vectors[8:9])  # its first vector lives on
    needles = needles_of_dead(collection._live.now)
    assert set(needles) == {vector[:16].tobytes() for vector in vectors[9:16]}
    assert collection.purge([]).needles == 7
    assert needles_of_dead(collection._live.now) == []


def test_what_is_still_there_is_an_error(collection: Collection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purging, "erase", lambda *_: None)
    needles = collection.needles(["d0"])
    collection.delete("d0", collection.accept())
    with pytest.raises(ErasureError, match=r"samples of what was purged are still in the files, as in store\.db"):
        collection.purge(needles)


def test_a_row_that_the_store_still_has_is_an_error(collection: Collection, writer: GroupCommitWriter) -> None:
    kept = dead_rows(collection._live.now)
    assert len(kept) == 0
    collection.delete("d0", collection.accept())
    dead = dead_rows(collection._live.now)
    assert dead.tolist() == list(range(1, 9))
    store, derived = collection._store, purging.Derived(collection.upkeep, collection.lexical)
    assert purging.purge(writer, store, derived, [], dead).found == ()
    store.database.write_connection.executescript(  # half a row is too much already
        "PRAGMA foreign_keys=OFF; DELETE FROM chunks WHERE row = 9; DELETE FROM vectors WHERE chunk = 10;"
    )
    with pytest.raises(ErasureError, match=r"2 of 10 deleted rows are still in store\.db"):
        purging.purge(writer, store, derived, [], np.array([*dead, 9, 10]))


def test_vectors_of_one_component_are_purged_by_their_rows(
    open_catalog: Callable[[], Catalog], put: Put, spec: CollectionSpec
) -> None:
    collection, _ = open_catalog().ensure("line", replace(spec, dimension=1, metric="ip"))
    for i in range(20):
        put(collection, f"d{i}", [CONFIDED if i == 0 else f"piece {i}", "x"], np.array([[1.37], [i + 1]], np.float32))
    needles = collection.needles(["d0"])
    assert min(map(len, needles)) >= 8
    collection.delete("d0", collection.accept())
    assert needles_of_dead(collection._live.now) == []
    proof = collection.purge(needles)
    assert (proof.found, proof.is_clean) == ((), True)
    assert collection._store.holding(np.array([1, 2])) == 0
    assert len(collection.search(np.ones(1, np.float32), SearchParams(top_k=100))) == 38


def test_what_the_log_keeps_is_no_finding(collection: Collection, cut: Cut, tmp_path: Path) -> None:
    document, chunks = cut("secret-name-of-a-thing", ["text"])
    metadata = {"mail": "adler@example.org"}
    document = Document(document.id, "secret-name-of-a-thing", document.text, metadata, None, "text", b"h")
    vectors = np.eye(1, DIMENSION, dtype=np.float32)
    collection.put(document, chunks, vectors, collection.accept())
    needles = collection.needles([document.id])
    collection.delete_matching(
        parse_filter({"type": "eq", "key": "mail", "value": "adler@example.org"}), collection.accept()
    )
    proof: Proof = collection.purge(needles)
    assert proof.found == ()
    assert proof.shared >= 1
    assert held(tmp_path, [b"secret-name-of-a-thing"])


def test_ids_of_what_passes(collection: Collection) -> None:
    everything = collection.ids_matching(parse_filter({"type": "ne", "key": "a", "value": 1}))
    assert everything == sorted(f"d{i}" for i in range(DOCUMENTS))
    assert collection.ids_matching(parse_filter({"type": "eq", "key": "a", "value": 1})) == []
