import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from indexes import live_view, stored_collection
from indexes import upkeep as upkeeping
from indexes.base import Chunk, Document, Hit, Metric, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.errors import DocumentNotFoundError, InvalidVectorError, StoreUnavailableError
from indexes.filters import parse_filter
from indexes.spec import CollectionSpec
from indexes.store import Change
from indexes.view import View

Open = Callable[[], Collection]
Put = Callable[..., str]
Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]
Clustered = Callable[[int, int, int], Vectors]

DIMENSION, SEAL_ROWS = 16, 256
# Every list and every row: IVF-PQ with these is exact, so a missing hit is a fault of the collection.
EXACT = SearchParams(top_k=10, nprobe=10**6, refine=10**6)


def ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.chunk.id for hit in hits]


def fill(collection: Collection, put: Put, clustered: Clustered, documents: int) -> Vectors:
    """Documents f0, f1 ... of eight chunks each."""
    vectors = clustered(8 * documents, DIMENSION, 77)
    for i in range(documents):
        put(collection, f"f{i}", list("abcdefgh"), vectors[8 * i : 8 * i + 8])
    return vectors


# One write after another


@pytest.mark.contract
def test_a_document_is_found_by_the_search_that_follows_its_write(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection, vectors = open_collection(), clustered(2, DIMENSION, 1)
    assert put(collection, "a", ["first ", "second"], vectors) == "created"
    hits = collection.search(vectors[1], SearchParams())
    assert hits[0].chunk == Chunk("a", 1, "second", 6, 12)
    assert (hits[0].title, hits[0].url) == ("About a", None)
    assert hits[0].score == hits[0].scores["vector"] == pytest.approx(1.0, abs=1e-6)
    assert ids(hits) == ["a#1", "a#0"]


@pytest.mark.contract
def test_a_replacement_leaves_no_chunk_of_the_old_text(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection, vectors = open_collection(), clustered(3, DIMENSION, 1)
    put(collection, "a", ["one", "two", "three"], vectors)
    assert put(collection, "a", ["new"], vectors[:1]) == "updated"
    hits = collection.search(vectors[0], SearchParams())
    assert [hit.chunk.text for hit in hits] == ["new"]


@pytest.mark.contract
def test_a_deleted_document_is_gone_at_once_and_after_reopening(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection, vectors = open_collection(), clustered(2, DIMENSION, 1)
    put(collection, "a", ["one"], vectors[:1])
    put(collection, "b", ["two"], vectors[1:])
    assert collection.delete("a", collection.accept()).outcome == "deleted"
    assert ids(collection.search(vectors[0], SearchParams())) == ["b#0"]
    with pytest.raises(DocumentNotFoundError, match="'a'"):
        collection.document("a")
    assert ids(open_collection().search(vectors[0], SearchParams())) == ["b#0"]


@pytest.mark.contract
def test_deleting_by_a_filter_takes_every_match_in_however_many_steps(
    open_collection: Open, cut: Cut, clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_collection, "_DELETED_AT_ONCE", 2)
    collection, vectors = open_collection(), clustered(20, DIMENSION, 1)
    for i in range(10):
        document, chunks = cut(f"f{i}", ["a", "b"])
        document = replace(document, metadata={"odd": bool(i % 2)})
        collection.put(document, chunks, vectors[2 * i : 2 * i + 2], collection.accept())
    odd, even = (parse_filter({"type": "eq", "key": "odd", "value": value}) for value in (True, False))
    deleted, version = collection.delete_matching(odd, collection.accept())
    assert (deleted, version) == (5, collection.version)
    left = {f"f{i}#{j}" for i in range(0, 10, 2) for j in range(2)}
    assert set(ids(collection.search(vectors[2], SearchParams(top_k=20)))) == left
    assert collection.delete_matching(odd, collection.accept()) == (0, version + 1)
    assert set(ids(open_collection().search(vectors[2], SearchParams(top_k=20)))) == left
    assert open_collection().delete_matching(even, 10**6)[0] == 5
    assert open_collection().search(vectors[0], SearchParams()) == []


def test_a_deleted_document_is_gone_from_sealed_segments_too(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection = open_collection()
    vectors = fill(collection, put, clustered, 40)
    assert collection.upkeep.step()
    collection.delete("f0", collection.accept())
    hits = collection.search(vectors[0], replace(EXACT, top_k=400))
    assert len(hits) == 39 * 8
    assert "f0" not in {hit.chunk.document_id for hit in hits}


@pytest.mark.contract
def test_a_document_without_chunks_is_stored_and_never_found(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection = open_collection()
    put(collection, "a", [], np.empty((0, DIMENSION), dtype=np.float32))
    assert collection.document("a").text == ""
    assert collection.search(clustered(1, DIMENSION, 1)[0], SearchParams()) == []


@pytest.mark.contract
def test_a_score_threshold_keeps_the_hits_at_or_above_it(open_collection: Open, put: Put) -> None:
    collection = open_collection()
    vectors = np.zeros((3, DIMENSION), dtype=np.float32)
    vectors[:, 0] = [1.0, 0.5, 0.25]
    vectors[[0, 1, 2], [1, 2, 3]] = [0.0, 0.75**0.5, 0.9375**0.5]
    put(collection, "a", ["x", "y", "z"], vectors)
    query = np.eye(1, DIMENSION, dtype=np.float32)[0]
    assert ids(collection.search(query, SearchParams(score_threshold=0.5))) == ["a#0", "a#1"]


def test_search_parameters_reach_the_sealed_index(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection = open_collection()
    vectors = fill(collection, put, clustered, 32)
    collection.upkeep.step()
    exact = [ids(collection.search(v, EXACT)) for v in vectors[:60]]
    narrow = [ids(collection.search(v, SearchParams(nprobe=1, refine=1))) for v in vectors[:60]]
    assert exact != narrow


def test_describe_counts_documents_and_names_the_tier_of_every_row(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection = open_collection()
    fill(collection, put, clustered, 34)
    assert [str(tier["tier"]).split(":")[0] for tier in collection.describe().segments] == ["full"]
    collection.upkeep.step()
    put(collection, "later", ["x"] * 8, clustered(8, DIMENSION, 5))
    collection.delete("f0", collection.accept())
    state = collection.describe()
    assert (state.documents, state.chunks, state.index_version, state.seal_rows) == (34, 272, 36, 256)
    assert [(s["index"], s["rows"], s["live_rows"]) for s in state.segments] == [("ivf_pq", 272, 264), ("flat", 8, 8)]
    assert [str(tier["tier"]).split(":")[0] for tier in state.segments] == ["sealed", "growing"]
    assert state.dead_rows == 8


def test_nothing_is_due_before_the_tail_is_full(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection = open_collection()
    fill(collection, put, clustered, 31)
    assert not collection.upkeep.is_due
    assert collection.upkeep.step() is None
    fill(collection, put, clustered, 32)
    assert collection.upkeep.is_due


def test_an_index_is_sealed_saved_extended_and_saved_again(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection = open_collection()
    vectors = fill(collection, put, clustered, 40)
    assert [collection.upkeep.step() for _ in range(3)] == ["sealed", "saved", None]
    for i in range(32):
        put(collection, f"g{i}", list("abcdefgh"), vectors[8 * i : 8 * i + 8])
    assert [collection.upkeep.step() for _ in range(3)] == ["sealed", "saved", None]
    assert not collection.upkeep.is_due
    assert [segment["rows"] for segment in collection.describe().segments] == [576, 0]
    sealed = collection._live.now.sealed
    assert sealed is not None
    assert sealed.index.trained_rows == 320
    assert set(ids(collection.search(vectors[0], EXACT))[:2]) == {"f0#0", "g0#0"}


def test_a_start_takes_up_the_saved_index_and_what_was_written_since(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = open_collection()
    vectors = fill(collection, put, clustered, 40)
    while collection.upkeep.step():
        pass
    collection.delete("f3", collection.accept())
    put(collection, "later", ["x", "y"], vectors[:2])
    put(collection, "f5", ["replaced"], vectors[40:41])
    before = [ids(collection.search(vector, replace(EXACT, top_k=400))) for vector in vectors[::40]]
    monkeypatch.setattr(upkeeping, "train_for", None)  # nothing is trained again
    collection = open_collection()
    assert [(s["index"], s["rows"], s["live_rows"]) for s in collection.describe().segments] == [
        ("ivf_pq", 320, 304), ("flat", 3, 3)
    ]  # fmt: skip
    assert [ids(collection.search(vector, replace(EXACT, top_k=400))) for vector in vectors[::40]] == before
    assert [collection.upkeep.step(), collection.upkeep.step()] == ["checked", None], (
        "nothing is trained or saved again"
    )
    assert not collection.upkeep.is_due


def test_rows_that_died_are_dropped_when_a_quarter_is_dead(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection = open_collection()
    vectors = fill(collection, put, clustered, 64)
    while collection.upkeep.step():
        pass
    for i in range(16):
        collection.delete(f"f{i}", collection.accept())
    assert not collection.upkeep.is_due
    collection.delete("f16", collection.accept())
    assert collection.upkeep.step() == "rebuilt"
    state = collection.describe()
    assert (state.dead_rows, [segment["rows"] for segment in state.segments]) == (0, [376, 0])
    assert len(collection.search(vectors[0], replace(EXACT, top_k=1000))) == 376


def test_the_last_row_of_an_index_may_be_dropped_with_it(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection = open_collection()
    fill(collection, put, clustered, 40)
    while collection.upkeep.step():
        pass
    for i in range(40):
        collection.delete(f"f{i}", collection.accept())
    assert [collection.upkeep.step() for _ in range(3)] == ["rebuilt", "saved", None]
    assert [segment["rows"] for segment in open_collection().describe().segments] == [0]


def test_a_filter_keeps_nothing_where_only_dead_rows_are_left_at_a_start(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection = open_collection()
    vectors = fill(collection, put, clustered, 40)
    while collection.upkeep.step():
        pass
    for i in range(40):
        collection.delete(f"f{i}", collection.accept())
    some = parse_filter({"type": "eq", "key": "odd", "value": True})
    for params in (SearchParams(filter=some), replace(EXACT, filter=some, explain=True)):
        assert open_collection().search(vectors[0], params) == []


def test_a_full_collection_is_sealed_after_reopening(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection = open_collection()
    vectors = fill(collection, put, clustered, 70)
    before = ids(collection.search(vectors[3], EXACT))
    collection = open_collection()
    assert collection.upkeep.step() == "sealed"
    assert ids(collection.search(vectors[3], EXACT)) == before


def test_an_index_that_is_newer_than_its_store_is_not_taken_up(
    open_collection: Open, open_catalog: Callable[[], Catalog], put: Put, clustered: Clustered
) -> None:
    """The store was put back to an earlier copy of it, and gives row ids again."""
    collection = open_collection()
    vectors = fill(collection, put, clustered, 32)
    path, catalog = collection._store.database.path, open_catalog()
    catalog.close()
    earlier = path.read_bytes()
    collection = open_collection()
    put(collection, "later", ["x"], vectors[:1])
    while collection.upkeep.step():
        pass
    open_catalog().close()
    path.write_bytes(earlier)
    state = open_collection().describe()
    assert "is of version 33, the store of 32" in state.trouble[0]
    assert [segment["index"] for segment in state.segments] == ["flat"]


def test_a_commit_that_memory_could_not_follow_is_made_up_for(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, vectors = open_collection(), clustered(3, DIMENSION, 1)
    put(collection, "a", ["x"], vectors[:1])
    with monkeypatch.context() as patched:

        def no_memory(*_: object) -> None:
            raise MemoryError

        patched.setattr(collection._live.now.rows, "append", no_memory)
        with pytest.raises(MemoryError):
            put(collection, "b", ["y"], vectors[1:2])
    put(collection, "c", ["z"], vectors[2:])
    assert sorted(ids(collection.search(vectors[1], EXACT))) == ["a#0", "c#0"]
    assert collection.upkeep.is_due
    assert collection.upkeep.step() == "rebuilt"
    assert ids(collection.search(vectors[1], EXACT))[0] == "b#0"
    assert not collection.upkeep.is_due


# What is refused


@pytest.mark.contract
@pytest.mark.parametrize("shape", [(1, DIMENSION - 1), (1, DIMENSION + 1), (2, DIMENSION), (DIMENSION,)])
def test_vectors_of_another_shape_are_refused(open_collection: Open, put: Put, shape: tuple[int, ...]) -> None:
    collection = open_collection()
    with pytest.raises(InvalidVectorError, match=r"shape .* not \(1, 16\)"):
        put(collection, "a", ["x"], np.zeros(shape, dtype=np.float32))
    assert collection.documents("", 10) == []


@pytest.mark.contract
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_refused(
    open_collection: Open, put: Put, clustered: Clustered, value: float
) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    put(collection, "a", ["x"], vectors)
    bad = vectors.copy()
    bad[0, 3] = value
    with pytest.raises(InvalidVectorError, match="not finite"):
        put(collection, "b", ["x"], bad)
    with pytest.raises(InvalidVectorError, match="not finite"):
        collection.search(bad[0], SearchParams())
    assert ids(collection.search(vectors[0], SearchParams())) == ["a#0"]


@pytest.mark.contract
def test_a_vector_of_zeros_is_refused(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection, vectors = open_collection(), clustered(2, DIMENSION, 1)
    vectors[1] = 0
    with pytest.raises(InvalidVectorError, match="a vector is all zeros"):
        put(collection, "a", ["x", "y"], vectors)
    with pytest.raises(InvalidVectorError, match="a query is all zeros"):
        collection.search(vectors[1], SearchParams())
    assert collection.documents("", 10) == []


@pytest.mark.contract
@pytest.mark.parametrize("shape", [(DIMENSION - 1,), (DIMENSION + 1,), (1, DIMENSION)])
def test_a_query_of_another_shape_is_refused(open_collection: Open, shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidVectorError, match="query has the shape"):
        open_collection().search(np.zeros(shape, dtype=np.float32), SearchParams())


@pytest.mark.contract
def test_a_closed_collection_refuses_searches_and_writes(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    collection.close()
    with pytest.raises(StoreUnavailableError):
        collection.search(vectors[0], SearchParams())
    with pytest.raises(StoreUnavailableError):
        put(collection, "a", ["x"], vectors)


def test_specs_differ_in_the_fields_that_differ(spec: CollectionSpec) -> None:
    assert spec.differences(spec) == {}
    assert spec.differences(replace(spec, dimension=3)) == {"dimension": (DIMENSION, 3)}


# Which of two writes wins


@pytest.mark.contract
def test_of_two_writes_the_later_accepted_one_wins(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    older, newer = collection.accept(), collection.accept()
    put(collection, "a", ["newer"], vectors, newer)
    assert put(collection, "a", ["older"], vectors, older) == "superseded"
    assert [hit.chunk.text for hit in collection.search(vectors[0], SearchParams())] == ["newer"]


@pytest.mark.contract
@pytest.mark.parametrize("reopen", [False, True])
def test_an_older_write_does_not_bring_back_what_was_deleted(
    open_collection: Open, put: Put, clustered: Clustered, reopen: bool
) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    older = collection.accept()
    collection.delete("a", collection.accept())
    collection = open_collection() if reopen else collection
    assert put(collection, "a", ["older"], vectors, older) == "superseded"
    assert collection.search(vectors[0], SearchParams()) == []


@pytest.mark.contract
def test_sequence_numbers_go_on_after_reopening(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    for _ in range(5):
        put(collection, "a", ["x"], vectors)
    last = collection.accept()
    assert collection.confirm("a", b"x", last)
    collection = open_collection()
    assert collection.accept() > last
    assert put(collection, "a", ["newer"], vectors) == "updated"


@pytest.mark.contract
def test_confirm_is_true_only_for_the_content_that_is_stored(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    assert not collection.confirm("a", b"text", collection.accept())
    put(collection, "a", ["text"], vectors)
    assert collection.confirm("a", b"text", collection.accept())
    assert not collection.confirm("a", b"other", collection.accept())
    collection.delete("a", collection.accept())
    assert not collection.confirm("a", b"text", collection.accept())


@pytest.mark.contract
def test_confirm_is_false_when_the_content_changes_before_it_is_noted(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    put(collection, "a", ["text"], vectors)

    def read_before_a_write(_: str) -> bytes:
        put(collection, "a", ["other"], vectors)
        return b"text"

    monkeypatch.setattr(collection._store, "content_hash", read_before_a_write)
    assert not collection.confirm("a", b"text", collection.accept())


@pytest.mark.contract
def test_a_confirmed_document_is_not_undone_by_an_older_write_or_delete(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    put(collection, "a", ["text"], vectors)
    older_put, older_delete, confirmed = (collection.accept() for _ in range(3))
    assert collection.confirm("a", b"text", confirmed)
    assert put(collection, "a", ["older"], vectors, older_put) == "superseded"
    assert collection.delete("a", older_delete).outcome == "superseded"
    assert collection.document("a").text == "text"


# Any sequence of operations, against a dict


@dataclass
class Model:
    """What the collection should hold: a dict, and a loop over all vectors."""

    documents: dict[str, tuple[Document, list[Chunk], Vectors]] = field(default_factory=dict)

    def scores(self, query: Vectors) -> dict[str, float]:
        return {
            chunk.id: float(np.float64(vector) @ np.float64(query) / np.linalg.norm(vector) / np.linalg.norm(query))
            for _, chunks, vectors in self.documents.values()
            for chunk, vector in zip(chunks, vectors, strict=True)
        }

    def chunk(self, chunk_id: str) -> Chunk:
        document_id, ordinal = chunk_id.split("#")
        return self.documents[document_id][1][int(ordinal)]


def check_search(collection: Collection, model: Model, query: Vectors, top_k: int) -> None:
    hits = collection.search(query, replace(EXACT, top_k=top_k))
    scores = model.scores(query)
    assert set(ids(hits)) <= set(scores), "a chunk that no longer exists"
    assert len(set(ids(hits))) == len(hits) == min(top_k, len(scores))
    np.testing.assert_allclose([hit.score for hit in hits], [scores[i] for i in ids(hits)], atol=1e-5)
    np.testing.assert_allclose([hit.score for hit in hits], sorted(scores.values())[::-1][: len(hits)], atol=1e-5)
    for hit in hits:
        assert hit.chunk == model.chunk(hit.chunk.id)
        document = collection.document(hit.chunk.document_id)
        assert document.text[hit.chunk.start : hit.chunk.end] == hit.chunk.text, "a citation that points elsewhere"


def check_documents(collection: Collection, model: Model) -> None:
    listed = collection.documents("", 10**6)
    assert [row[0] for row in listed] == sorted(model.documents)
    assert all(collection.document(i) == model.documents[i][0] for i in model.documents)
    chunks = sum(len(chunks) for _, chunks, _ in model.documents.values())
    state = collection.describe()
    assert (state.documents, state.chunks) == (len(model.documents), chunks)


@pytest.mark.contract
def test_a_long_sequence_of_operations_agrees_with_a_dict(
    open_collection: Open, put: Put, cut: Cut, milvus: object
) -> None:
    """One that seals again and again; tests/faults/test_any_sequence.py tries many short ones."""
    seed = 0
    print(f"seed {seed}")  # noqa: T201
    choose, numbers = random.Random(seed), np.random.default_rng(seed)  # noqa: S311  a test's choices
    collection, model, sealed = open_collection(), Model(), 0
    for step in range(400):
        operation = choose.choices(["put", "delete", "search", "seal", "reopen"], [55, 12, 25, 6, 2])[0]
        document_id = f"d{choose.randrange(90)}"
        if operation == "put":
            pieces = [f"{document_id} step {step} piece {i} é👩‍🚀 " for i in range(choose.randint(0, 9))]
            vectors = numbers.normal(size=(len(pieces), DIMENSION)).astype(np.float32)
            outcome = put(collection, document_id, pieces, vectors)
            assert outcome == ("updated" if document_id in model.documents else "created")
            model.documents[document_id] = (*cut(document_id, pieces), vectors)
        elif operation == "delete":
            change = collection.delete(document_id, collection.accept())
            assert (change.outcome == "deleted") == (model.documents.pop(document_id, None) is not None)
        elif operation == "search":
            query = numbers.normal(size=DIMENSION).astype(np.float32)
            check_search(collection, model, query, choose.choice([1, 10, 50, 2000]))
        elif operation == "seal":
            collection.upkeep.step()
            sealed += len(collection.describe().segments) > 1
        else:
            collection = open_collection()
            check_documents(collection, model)
    check_documents(collection, model)
    assert milvus or sealed >= 1, "the sequence is to pass over sealed segments"


# Writes and searches at once


@pytest.mark.contract
def test_a_search_sees_exactly_one_version_of_a_document_that_is_being_replaced(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    """Replaced 200 times, with the seals that this brings about, while three threads search."""
    collection, vectors = open_collection(), clustered(4, DIMENSION, 3)
    put(collection, "a", ["000"] * 4, vectors)
    finished = threading.Event()

    def searched() -> Counter[tuple[tuple[str, int], ...]]:
        """How often each (text, chunks) came back."""
        seen: Counter[tuple[tuple[str, int], ...]] = Counter()
        while not finished.is_set():
            hits = collection.search(vectors[0], EXACT)
            seen[tuple(sorted(Counter(hit.chunk.text for hit in hits).items()))] += 1
        return seen

    with ThreadPoolExecutor(3) as threads:
        searches = [threads.submit(searched) for _ in range(3)]
        try:
            for version in range(1, 201):
                put(collection, "a", [f"{version:03}"] * 4, vectors)
                if collection.upkeep.is_due:
                    collection.upkeep.step()
        finally:
            finished.set()
        seen = sum((search.result() for search in searches), Counter())
    wrong = {found: times for found, times in seen.items() if len(found) != 1 or found[0][1] != 4}
    assert wrong == {}
    assert len(seen) > 10, "the searches are to run beside the writes"


def test_a_search_between_a_commit_and_its_application_waits_for_the_latter(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    put(collection, "a", ["old"], vectors)
    live = collection._live
    apply, view_at, looking = live.apply, live.at, threading.Event()
    searches: list[Future[list[Hit]]] = []

    def announced(version: int) -> View:
        looking.set()
        return view_at(version)

    with ThreadPoolExecutor(1) as threads:

        def apply_late(change: Change) -> None:
            searches.append(threads.submit(collection.search, vectors[0], SearchParams()))
            assert looking.wait(timeout=200)
            apply(change)

        monkeypatch.setattr(live, "at", announced)
        monkeypatch.setattr(live, "apply", apply_late)
        put(collection, "a", ["new"], vectors)
        assert [hit.chunk.text for hit in searches[0].result(timeout=200)] == ["new"]


def test_a_search_that_is_overtaken_by_a_replacement_and_a_seal_starts_again(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was rebuilt no longer holds the rows that the search's snapshot asks for."""
    collection = open_collection()
    vectors = fill(collection, put, clustered, 31)
    put(collection, "last", ["x"] * 40, clustered(40, DIMENSION, 8))
    view_at, asked = collection._live.at, []

    def overtaken(version: int) -> View:
        asked.append(version)
        if len(asked) == 1:
            put(collection, "f0", ["new"], vectors[:1])
            collection.upkeep.rebuild()
        return view_at(version)

    monkeypatch.setattr(collection._live, "at", overtaken)
    hits = collection.search(vectors[0], replace(EXACT, top_k=400))
    assert [hit.chunk.text for hit in hits if hit.chunk.document_id == "f0"] == ["new"]
    assert len(hits) == 30 * 8 + 40 + 1
    assert asked == [32, 33, 33]  # the search, the rebuild, the search again


def test_a_rebuild_waits_for_commits_that_it_has_read(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    put(collection, "a", ["old"], vectors)
    monkeypatch.setattr(live_view, "_CATCH_UP_S", 0)
    apply, refused = collection._live.apply, []

    def apply_late(change: Change) -> None:
        try:
            collection.upkeep.rebuild()
        except StoreUnavailableError as error:
            refused.append(str(error))
        apply(change)

    monkeypatch.setattr(collection._live, "apply", apply_late)
    put(collection, "a", ["new"], vectors)
    assert refused == ["the index is at version 1, the store at 2"]
    assert [hit.chunk.text for hit in collection.search(vectors[0], SearchParams())] == ["new"]


@pytest.mark.parametrize("building", ["seal", "rebuild"])
def test_what_is_written_while_an_index_is_built_is_in_it(
    open_collection: Open, put: Put, clustered: Clustered, monkeypatch: pytest.MonkeyPatch, building: str
) -> None:
    collection = open_collection()
    vectors = fill(collection, put, clustered, 40)
    train_for = upkeeping.train_for

    def trained_beside_writes(*given: Any) -> Any:  # noqa: ANN401
        trained = train_for(*given)
        collection.delete("f0", collection.accept())
        put(collection, "f1", ["replaced"], vectors[8:9])
        put(collection, "new", ["x"] * 3, vectors[:3])
        put(collection, "short-lived", ["x"], vectors[:1])
        collection.delete("short-lived", collection.accept())
        return trained

    monkeypatch.setattr(upkeeping, "train_for", trained_beside_writes)
    if building == "seal":
        assert collection.upkeep.step() == "sealed"
    else:
        collection.upkeep.rebuild()
    hits = collection.search(vectors[0], replace(EXACT, top_k=400))
    expected = {f"f{i}#{j}" for i in range(2, 40) for j in range(8)} | {"f1#0", "new#0", "new#1", "new#2"}
    assert sorted(ids(hits)) == sorted(expected)


def test_sealing_while_others_write_loses_nothing(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection = open_collection()
    vectors = clustered(1440, DIMENSION, 4)

    def write_and_seal(thread: int) -> int:
        sealed = 0
        for i in range(60):
            at = (thread * 60 + i) * 8
            put(collection, f"{thread}-{i % 40}", [f"{i:02}"] * 8, vectors[at : at + 8])
            if i % 4 == 3:
                collection.delete(f"{thread}-{i % 40}", collection.accept())
            sealed += collection.upkeep.step() == "sealed"
        return sealed

    with ThreadPoolExecutor(3) as threads:
        assert sum(threads.map(write_and_seal, range(3))) >= 1
    found = Counter(ids(collection.search(vectors[0], replace(EXACT, top_k=10_000))))
    expected = {f"{doc}#{i}" for doc, *_ in collection.documents("", 10_000) for i in range(8)}
    assert set(found) == expected
    assert set(found.values()) == {1}
    reopened = open_collection()
    assert set(ids(reopened.search(vectors[0], replace(EXACT, top_k=10_000)))) == expected


@pytest.mark.contract
def test_a_delete_is_invisible_to_every_search_that_starts_after_it(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection, vectors = open_collection(), clustered(40, DIMENSION, 5)
    for i in range(40):
        put(collection, f"d{i}", ["x"], vectors[i : i + 1])

    def delete_and_look(i: int) -> bool:
        collection.delete(f"d{i}", collection.accept())
        return f"d{i}#0" in ids(collection.search(vectors[i], replace(EXACT, top_k=40)))

    with ThreadPoolExecutor(8) as threads:
        assert not any(threads.map(delete_and_look, range(40)))


@pytest.mark.contract
@pytest.mark.parametrize("length", [1e-30, 1e30])
def test_a_cosine_takes_vectors_of_any_length(
    open_collection: Open, put: Put, clustered: Clustered, length: float
) -> None:
    collection, vectors = open_collection(), clustered(2, DIMENSION, 1)
    put(collection, "a", ["x", "y"], vectors * np.float32(length))
    hits = collection.search(vectors[1] * np.float32(length), SearchParams())
    assert (hits[0].chunk.id, hits[0].score) == ("a#1", pytest.approx(1.0, abs=1e-6))


@pytest.mark.contract
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_a_vector_so_long_that_its_scores_are_not_finite_is_refused(
    open_catalog: Callable[[], Catalog], spec: CollectionSpec, put: Put, clustered: Clustered, metric: Metric
) -> None:
    collection = open_catalog().ensure("docs", replace(spec, metric=metric))[0]
    vectors = clustered(1, DIMENSION, 1) * np.float32(1e20)
    with pytest.raises(InvalidVectorError, match=r"a vector has the norm 1e\+20; scores are finite up to 1e\+18"):
        put(collection, "a", ["x"], vectors)
    with pytest.raises(InvalidVectorError, match="a query has the norm"):
        collection.search(vectors[0], SearchParams())
