"""An index that lies: what it claims reaches nobody, unless the store says the same."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexes import finding
from indexes.attributes import Attributes
from indexes.base import Chunk, Document, Positions, SearchParams, Vectors
from indexes.collection import Collection
from indexes.errors import StoreUnavailableError
from indexes.filters import Filter, matches, parse_filter
from indexes.live_view import LiveView
from indexes.nearest import Dropped, Found, Omissions
from indexes.rows import VisibleAt
from indexes.searched import Searched
from indexes.view import View

Clustered = Callable[[int, int, int], Vectors]
Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]

DIMENSION, DOCUMENTS = 16, 60
OURS = parse_filter({"type": "eq", "key": "tenant", "value": "ours"})
ODD = parse_filter({"type": "eq", "key": "odd", "value": True})
EXPLAINED = SearchParams(top_k=40, explain=True, nprobe=10**6, refine=10**6)


def metadata(at: int) -> Mapping[str, Any]:
    return {"tenant": "ours" if at % 3 else "theirs", "odd": at % 2 == 1}


def write(collection: Collection, cut: Cut, name: str, vectors: Vectors, held: Mapping[str, Any]) -> None:
    document, chunks = cut(name, [f"{name} {part}" for part in range(len(vectors))])
    collection.put(replace(document, metadata=held), chunks, vectors, collection.accept())


@pytest.fixture
def collection(open_collection: Callable[[], Collection], cut: Cut, clustered: Clustered, milvus: object) -> Collection:
    """Documents d0, d1 ... of eight chunks each, most of them sealed where they are searched here."""
    collection, vectors = open_collection(), clustered(8 * DOCUMENTS, DIMENSION, 4)
    for at in range(DOCUMENTS):
        write(collection, cut, f"d{at}", vectors[8 * at : 8 * at + 8], metadata(at))
        if collection.upkeep.is_due:
            collection.upkeep.step()
    assert collection.describe().segments[0]["index"] == ("milvus" if milvus else "ivf_pq")
    return collection


@pytest.fixture
def query(clustered: Clustered) -> Vectors:
    return clustered(1, DIMENSION, 9)[0]


def documents_in(searched: Searched) -> set[str]:
    named = [hit.chunk.id for hit in searched.hits] + [dropped.chunk for dropped in searched.dropped]
    return {name.partition("#")[0] for name in named}


def passes(name: str, *filters: Filter) -> bool:
    return all(matches(filter, metadata(int(name.removeprefix("d")))) for filter in filters)


def lying_bitmaps(patch: pytest.MonkeyPatch) -> None:
    """Every document passes every filter."""
    patch.setattr(Attributes, "mask", lambda _self, _filter, size: np.ones(size, dtype=bool))


def lying_visibility(patch: pytest.MonkeyPatch) -> None:
    """Every row is alive, and of a document that is let through."""
    patch.setattr(VisibleAt, "mask", lambda _self, start, stop: np.ones(stop - start, dtype=bool))
    patch.setattr(VisibleAt, "at", lambda _self, positions: positions >= 0)


@pytest.mark.parametrize("lie", [lying_bitmaps, lying_visibility])
@pytest.mark.parametrize(("required", "wanted"), [(OURS, None), (None, ODD), (OURS, ODD)], ids=["key", "own", "both"])
def test_an_index_that_lets_everything_through_shows_nothing_more(
    collection: Collection,
    query: Vectors,
    lie: Callable[[pytest.MonkeyPatch], None],
    required: Filter | None,
    wanted: Filter | None,
) -> None:
    params = replace(EXPLAINED, required=required, filter=wanted)
    honest = collection.searched(query, params)
    with pytest.MonkeyPatch.context() as patch:
        lie(patch)
        searched = collection.searched(query, params)
    filters = [filter for filter in (required, wanted) if filter is not None]
    assert searched.hits
    assert all(passes(name, *filters) for name in documents_in(searched))
    assert set(searched.failed) == {cause for cause, held in (("required", required), ("filter", wanted)) if held}
    assert not honest.failed


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_rows_an_index_names_the_store_has_the_last_word(
    collection: Collection, query: Vectors, data: st.DataObject
) -> None:
    """Hits and dropped candidates are drawn: of any document, gone, never there, or far beyond."""
    ids = st.integers(1, 8 * DOCUMENTS + 20) | st.sampled_from([0, 2**40, 2**62])
    rows = data.draw(st.lists(ids, max_size=30, unique=True))
    dropped = data.draw(st.lists(ids, max_size=10, unique=True))
    held = data.draw(st.sampled_from([(OURS, None), (OURS, ODD), (None, ODD), (None, None)]))

    def claimed(view: View, version: int, query: Vectors, params: SearchParams) -> Found:
        ones = np.ones(len(rows), dtype=np.float32)
        named = [Dropped(row, 0.5, "outranked") for row in dropped]
        ids: Positions = np.array(rows, dtype=np.int64)
        return Found(ids, ones, ones, ones, None, 0, 0, Omissions(named))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "nearest", claimed)
        searched = collection.searched(query, replace(EXPLAINED, required=held[0], filter=held[1]))
    filters = [filter for filter in held if filter is not None]
    expected = [row for row in rows if 1 <= row <= 8 * DOCUMENTS and passes(f"d{(row - 1) // 8}", *filters)]
    assert [hit.row for hit in searched.hits] == expected
    assert all(passes(name, *filters) for name in documents_in(searched))
    confirmed = len({*expected, *(row for row in dropped if 1 <= row <= 8 * DOCUMENTS and row in rows + dropped)})
    assert sum(searched.failed.values()) >= len({*rows, *dropped}) - confirmed


def test_rows_that_the_store_does_not_have_are_counted_as_a_fault(
    collection: Collection, query: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.delete("d1", collection.accept())
    lying_visibility(monkeypatch)
    searched = collection.searched(query, replace(EXPLAINED, top_k=8 * DOCUMENTS))
    assert "d1" not in documents_in(searched)
    assert searched.failed == {"missing": 8}


def during_search(collection: Collection, patch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """``act`` is done after the index was searched and before what it found is looked at again."""
    living = collection.living

    def acting(rows: Sequence[int]) -> set[int]:
        patch.setattr(collection, "living", living)
        act()
        return living(rows)

    patch.setattr(collection, "living", acting)


@pytest.mark.contract
def test_a_document_that_is_deleted_while_it_is_searched_for_is_no_hit(
    collection: Collection, query: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = replace(EXPLAINED, top_k=8 * DOCUMENTS)
    assert "d1" in documents_in(collection.searched(query, params))
    during_search(collection, monkeypatch, lambda: collection.delete("d1", collection.accept()))
    searched = collection.searched(query, params)
    assert "d1" not in documents_in(searched)
    assert len(searched.hits) == 8 * (DOCUMENTS - 1)
    assert searched.failed == {"deleted": 8}


@pytest.mark.contract
@pytest.mark.parametrize(("tenant", "is_seen"), [("ours", True), ("theirs", False)])
def test_one_that_is_replaced_meanwhile_is_a_hit_as_it_was_as_long_as_it_may_be_seen(
    collection: Collection, cut: Cut, clustered: Clustered, query: Vectors, tenant: str, is_seen: bool
) -> None:
    params, vectors = replace(EXPLAINED, top_k=8 * DOCUMENTS, required=OURS), clustered(1, DIMENSION, 5)
    with pytest.MonkeyPatch.context() as patch:
        during_search(collection, patch, lambda: write(collection, cut, "d1", vectors, {"tenant": tenant}))
        searched = collection.searched(query, params)
    hits = [hit for hit in searched.hits if hit.chunk.document_id == "d1"]
    assert len(hits) == (8 if is_seen else 0)
    assert searched.failed == ({} if is_seen else {"deleted": 8})
    assert collection.living([hit.row for hit in hits]) == set()


@pytest.mark.contract
def test_what_is_there_still_is_told_by_rows_that_nothing_else_ever_gets(
    collection: Collection, cut: Cut, clustered: Clustered, query: Vectors
) -> None:
    rows = [hit.row for hit in collection.search(query, replace(EXPLAINED, top_k=8 * DOCUMENTS))]
    assert collection.living(rows) == set(rows)
    collection.delete("d2", collection.accept())
    write(collection, cut, "d2", clustered(8, DIMENSION, 6), metadata(2))
    assert len(collection.living(rows)) == len(rows) - 8
    collection.rebuild()
    assert len(collection.living(rows)) == len(rows) - 8


def test_memory_that_lost_track_of_the_store_is_not_asked(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection.delete("d1", collection.accept())
    monkeypatch.setattr(LiveView, "now", property(lambda _: pytest.fail("memory was asked")))
    monkeypatch.setattr(collection._live, "is_behind", True)
    assert collection.living(list(range(1, 25))) == {*range(1, 9), *range(17, 25)}


@pytest.mark.contract
def test_where_nobody_can_tell_it_is_a_typed_error(collection: Collection, query: Vectors) -> None:
    collection.close()
    with pytest.raises(StoreUnavailableError, match="was closed"):
        collection.living([1])
    with pytest.raises(StoreUnavailableError):
        collection.search(query, EXPLAINED)


@pytest.mark.contract
def test_a_store_that_cannot_be_read_returns_nothing(
    collection: Collection, query: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    during_search(collection, monkeypatch, lambda: (collection.delete("d1", collection.accept()), collection.close()))
    with pytest.raises(StoreUnavailableError):
        collection.search(query, replace(EXPLAINED, top_k=8 * DOCUMENTS))
