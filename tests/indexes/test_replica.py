"""Collections as a process without their store reads them, from what a writer published in Milvus."""

import random
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from indexes.base import Boost, Chunk, Document, Hybrid, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection, QueriedCollection
from indexes.errors import CollectionNotFoundError, InvalidVectorError, MilvusUnavailableError, StoreUnavailableError
from indexes.filters import matches, parse_filter
from indexes.spec import CollectionSpec
from milvus_lite import MilvusLite

Open = Callable[[], Collection]
Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]
Clustered = Callable[[int, int, int], Vectors]
Put = Callable[..., str]

DIMENSION = 16

pytestmark = [pytest.mark.cluster, pytest.mark.parametrize("milvus", ["FLAT", "HNSW"], indirect=True)]


class Replica:
    """A replica's catalogue beside the writer's, which publishes when it is told to."""

    def __init__(self, server: Any, catalog: Catalog) -> None:  # noqa: ANN401  a MilvusServer, which an extra brings
        from indexes.catalog_publication import CatalogPublication  # noqa: PLC0415  an extra
        from indexes.milvus_reading import MilvusReader  # noqa: PLC0415
        from indexes.replica_catalog import ReplicaCatalog  # noqa: PLC0415

        self.name = f"test_{secrets.token_hex(6)}"  # another test's writer may be heard in the same Milvus
        self.server = server
        self.publication = CatalogPublication(catalog, server, self.name)
        self.reader = MilvusReader(server.address, server.index)
        self.catalog = ReplicaCatalog(self.reader, self.name)

    def caught_up(self) -> "Replica":
        self.publication.bring()
        self.catalog.look()
        return self

    def collection(self, name: str = "docs") -> QueriedCollection:
        return self.caught_up().catalog.route(name).primary

    def close(self) -> None:
        with suppress(MilvusUnavailableError):
            self.server.drop(f"quarry_catalog_v1_{self.name}")
        self.reader.close()


@pytest.fixture
def replica(open_catalog: Callable[[], Catalog], milvus: Any) -> Iterator[Callable[[Catalog], Replica]]:  # noqa: ANN401
    """(the writer's catalogue) -> a replica of it."""
    opened: list[Replica] = []

    def follow(catalog: Catalog) -> Replica:
        opened.append(Replica(milvus, catalog))
        return opened[-1]

    yield follow
    for each in opened:
        each.close()


@pytest.fixture
def catalog(open_catalog: Callable[[], Catalog], spec: CollectionSpec) -> Catalog:
    """With an empty collection."""
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    return catalog


@pytest.fixture
def query(clustered: Clustered) -> Vectors:
    return clustered(1, DIMENSION, 9)[0]


def write(collection: Collection, cut: Cut, name: str, vectors: Vectors, metadata: Mapping[str, Any]) -> None:
    document, chunks = cut(name, [f"{name} {part}" for part in range(len(vectors))])
    collection.put(replace(document, metadata=metadata), chunks, vectors, collection.accept())


def told(searched: Any) -> list[Any]:  # noqa: ANN401
    """All that a caller hears of hits."""
    return [(hit.row, hit.chunk, hit.title, hit.url, hit.score, hit.scores, hit.score_per_cosine) for hit in searched]


VALUES: list[Any] = [1, 2, 2.5, -3, 2**53 + 1, True, False, "", "de", "d", "ä", "long " * 20, "long " * 20 + "x", None]
SCALARS: list[Any] = [value for value in VALUES if value is not None and not isinstance(value, bool)]
KEYS = ["a", 'b"] or true or x["', "row"]


def drawn(choose: random.Random, depth: int = 0) -> dict[str, Any]:
    if depth < 2 and choose.random() < 0.35:
        parts = [drawn(choose, depth + 1) for _ in range(choose.randint(1, 3))]
        return {"type": choose.choice(["and", "or"]), "filters": parts}
    type_ = choose.choice(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"])
    value: Any = choose.choice(SCALARS)
    if type_ in {"in", "nin"}:
        value = choose.sample(SCALARS, choose.randint(1, 5))
    return {"type": type_, "key": choose.choice(KEYS), "value": value}


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_the_same_questions_find_the_same_as_at_the_writer(
    open_catalog: Callable[[], Catalog],
    replica: Callable[[Catalog], Replica],
    spec: CollectionSpec,
    cut: Cut,
    query: Vectors,
    metric: Any,  # noqa: ANN401
) -> None:
    choose, catalog = random.Random(17), open_catalog()  # noqa: S311  a test's choices
    collection = catalog.ensure("docs", replace(spec, metric=metric))[0]
    vectors = np.random.default_rng(5).normal(size=(120, DIMENSION)).astype(np.float32)
    held = {f"d{at}": {key: choose.choice(VALUES) for key in KEYS if choose.random() < 0.8} for at in range(60)}
    for at, (name, metadata) in enumerate(held.items()):
        write(collection, cut, name, vectors[2 * at : 2 * at + 2], metadata)
    collection.delete("d7", collection.accept())
    there = replica(catalog).collection()
    some = 0
    for _ in range(60):
        filter_, required = (parse_filter(drawn(choose)) for _ in range(2))
        boost = Boost(parse_filter(drawn(choose)), 0.4)
        for params in (
            SearchParams(200, filter=filter_),
            SearchParams(7, filter=filter_, required=required, boosts=(boost,)),
            SearchParams(5, required=required, score_threshold=0.1, explain=True, hybrid=Hybrid("d1", 0.5)),
        ):
            here, found = collection.searched(query, params), there.searched(query, params)
            assert told(found.hits) == told(here.hits), params
            assert (found.without_lexical, found.dropped) == (here.without_lexical, here.dropped)
            assert found.version <= here.version
            passing = [f for f in (params.filter, params.required) if f]
            assert all(matches(f, held[hit.chunk.document_id]) for hit in found.hits for f in passing)
            some += bool(found.hits)
    assert some > 50


def test_who_it_is_and_how_much_there_is(catalog: Catalog, replica: Callable[[Catalog], Replica], cut: Cut,
                                         clustered: Clustered, query: Vectors) -> None:  # fmt: skip
    collection, vectors = catalog.get("docs"), clustered(9, DIMENSION, 1)
    for at in range(3):
        write(collection, cut, f"d{at}", vectors[3 * at : 3 * at + 3], {"even": at % 2 == 0, "at": at})
    there = replica(catalog).collection()
    assert (there.spec, there.identity) == (collection.spec, collection.identity)
    state = there.describe()
    assert (state.documents, state.chunks) == (3, 9)
    counts = {
        value: there.count_matching(parse_filter({"type": "eq", "key": "even", "value": value}))
        for value in (True, False)
    }
    assert counts == {True: 2, False: 1}
    assert there.count_matching(parse_filter({"type": "gt", "key": "at", "value": 2**60 + 1})) is None, "inexact"
    hits = there.searched(query, SearchParams(top_k=9)).hits
    assert there.version == collection.version
    rows = [hit.row for hit in hits]
    assert there.living([*rows, 10**6]) == set(rows)
    assert there.sentences_of(rows) == {}
    with pytest.raises(InvalidVectorError):
        there.searched(np.zeros(3, dtype=np.float32), SearchParams())


def test_what_a_write_was_acknowledged_for_is_so_at_once(
    catalog: Catalog, replica: Callable[[Catalog], Replica], cut: Cut, clustered: Clustered
) -> None:
    collection, vectors = catalog.get("docs"), clustered(40, DIMENSION, 1)
    there = replica(catalog).collection()
    everything = SearchParams(top_k=100)
    for at in range(20):
        write(collection, cut, f"d{at}", vectors[at : at + 1], {})
        row = next(hit.row for hit in there.searched(vectors[at], everything).hits if hit.chunk.document_id == f"d{at}")
        if at % 2:
            write(collection, cut, f"d{at}", vectors[20 + at : 21 + at], {"again": True})
        else:
            collection.delete(f"d{at}", collection.accept())
        assert row not in {hit.row for hit in there.searched(vectors[at], everything).hits}
        assert there.living([row]) == set()
    assert len(there.searched(vectors[0], everything).hits) == 10


def test_of_a_document_in_two_forms_the_new_one_is_found(
    catalog: Catalog, replica: Callable[[Catalog], Replica], cut: Cut, clustered: Clustered, query: Vectors
) -> None:
    collection, vectors = catalog.get("docs"), clustered(4, DIMENSION, 1)
    write(collection, cut, "a", vectors[:2], {})
    table = collection._table  # type: ignore[attr-defined]
    (old, checksum), *_ = table.contents(1, 2)
    write(collection, cut, "a", vectors[2:4], {})
    table.upsert([old | {"checksum": checksum, "held": [], "ranges": {}}])  # as while it is replaced
    hits = replica(catalog).collection().searched(query, SearchParams(top_k=10)).hits
    assert sorted(hit.row for hit in hits) == [3, 4]


def test_a_row_that_is_not_what_its_checksum_says_is_not_shown(
    catalog: Catalog, replica: Callable[[Catalog], Replica], cut: Cut, clustered: Clustered, query: Vectors
) -> None:
    collection = catalog.get("docs")
    write(collection, cut, "a", clustered(2, DIMENSION, 1), {})
    table = collection._table  # type: ignore[attr-defined]
    (content, checksum), *_ = table.contents(1, 2)
    table.upsert([content | {"payload": content["payload"].replace("a 0", "z 0"), "checksum": checksum, "held": [],
                             "ranges": {}}])  # fmt: skip
    hits = replica(catalog).collection().searched(query, SearchParams(top_k=10)).hits
    assert [hit.row for hit in hits] == [2]


def test_the_text_around_a_chunk_is_that_of_the_document(
    catalog: Catalog, replica: Callable[[Catalog], Replica], cut: Cut, clustered: Clustered
) -> None:
    collection, vectors = catalog.get("docs"), clustered(12, DIMENSION, 1)
    document, chunks = cut("a", [f"part {at}. " for at in range(6)])
    over = [replace(chunk, start=max(0, chunk.start - 4), text=document.text[max(0, chunk.start - 4) : chunk.end])
            for chunk in chunks]  # fmt: skip
    over[4:] = [replace(chunk, page=2) for chunk in over[4:]]
    collection.put(document, over, vectors[:6], collection.accept())
    apart = [replace(chunk, document_id="b", end=chunk.end - 1, text=chunk.text[:-1]) for chunk in chunks]
    text = "".join(f"part {at}.\n" for at in range(6))
    collection.put(replace(document, id="b", text=text), apart, vectors[6:], collection.accept())
    there = replica(catalog).collection()
    rows = list(range(1, 13))
    for reach in (1, 2, 10):
        assert there.surroundings([*rows, 99], reach) == collection.surroundings(rows, reach)


# The catalogue


def test_names_aliases_and_preferences_follow(
    catalog: Catalog, replica: Callable[[Catalog], Replica], spec: CollectionSpec
) -> None:
    there = replica(catalog)
    with pytest.raises(MilvusUnavailableError, match="no writer has published its collections"):
        there.catalog.look()
    assert there.caught_up().catalog.names() == ["docs"]
    docs = there.catalog.route("docs").primary
    catalog.ensure("more", spec)
    catalog.set_alias("live", "docs")
    catalog.prefer("docs", "llm", "main")
    names = there.caught_up().catalog
    assert (names.names(), names.aliases()) == (["docs", "more"], {"live": "docs"})
    assert (names.preference("live", "llm"), names.preference("more", "llm")) == ("main", None)
    assert names.route("live").name == "docs"
    assert "live" in names
    catalog.set_alias("live", "more")
    catalog.prefer("docs", "llm", None)
    assert there.caught_up().catalog.route("live").name == "more"
    assert names.preference("docs", "llm") is None
    catalog.remove_alias("live")
    catalog.drop("docs")
    catalog.ensure("docs", spec)
    assert there.collection().identity != docs.identity
    catalog.drop("docs")
    assert there.caught_up().catalog.names() == ["more"]
    for gone in ("docs", "live"):
        assert gone not in names
        with pytest.raises(CollectionNotFoundError, match=gone):
            names.route(gone)


def test_nothing_is_written_or_read_while_nothing_changes(
    catalog: Catalog, replica: Callable[[Catalog], Replica]
) -> None:
    there = replica(catalog)
    docs = there.collection()
    assert not there.publication.bring()
    assert there.collection() is docs
    catalog.set_alias("live", "docs")
    assert there.publication.bring()
    assert there.collection() is docs, "it is the same, whatever names it"


def test_a_collection_that_is_dropped_is_looked_for_anew(
    catalog: Catalog, replica: Callable[[Catalog], Replica], query: Vectors
) -> None:
    there = replica(catalog)
    docs = there.collection()
    assert list(docs.searched(query, SearchParams()).hits) == []
    catalog.drop("docs")
    there.publication.bring()
    with pytest.raises(MilvusUnavailableError, match="Milvus has no collection"):
        docs.searched(query, SearchParams())
    assert there.catalog.names() == [], "the search that failed has looked"


def test_a_reader_makes_nothing(
    catalog: Catalog,
    replica: Callable[[Catalog], Replica],
    milvus: Any,  # noqa: ANN401
    query: Vectors,
) -> None:
    there = replica(catalog)
    docs = there.collection()
    milvus.drop(catalog.get("docs").place)
    before = set(milvus.client.list_collections())
    for ask in (lambda: docs.searched(query, SearchParams()), docs.describe, lambda: docs.living([1])):
        with pytest.raises(MilvusUnavailableError):
            ask()
    assert set(milvus.client.list_collections()) == before


def test_a_second_writer_is_heard_and_the_first_says_so(
    catalog: Catalog, replica: Callable[[Catalog], Replica], spec: CollectionSpec
) -> None:
    from indexes.catalog_publication import CatalogPublication, CatalogTakenError  # noqa: PLC0415  an extra

    first = replica(catalog).caught_up()
    second = CatalogPublication(catalog, first.server, first.name)
    second.bring()
    for _ in range(2):
        with pytest.raises(CatalogTakenError, match=r"another writer publishes in quarry_catalog_v1_test_"):
            first.publication.bring()
    catalog.ensure("more", spec)
    second.bring()
    first.catalog.look()
    assert first.catalog.names() == ["docs", "more"]


def test_what_milvus_lost_is_published_again(catalog: Catalog, replica: Callable[[Catalog], Replica]) -> None:
    there = replica(catalog).caught_up()
    there.server.drop(f"quarry_catalog_v1_{there.name}")
    with pytest.raises(MilvusUnavailableError):
        there.catalog.look()
    assert there.catalog.names() == ["docs"], "what was known is kept"
    assert there.publication.bring()
    there.catalog.look()
    assert there.catalog.names() == ["docs"]


def test_a_record_of_another_program_costs_its_own_name(
    catalog: Catalog, replica: Callable[[Catalog], Replica]
) -> None:
    there = replica(catalog).caught_up()
    table = there.server.catalog_table(f"quarry_catalog_v1_{there.name}")
    table.put({"odd": '{"identity": "x", "place": "y", "spec": {}, "more": 1}', ".": '{"writer": "w", "number": 1}'})
    there.catalog.look()
    assert (there.catalog.names(), there.catalog.damaged()) == (["docs", "odd"], ["odd"])
    with pytest.raises(StoreUnavailableError, match="cannot be read here"):
        there.catalog.route("odd")


def test_without_milvus_what_was_known_is_kept(
    catalog: Catalog,
    replica: Callable[[Catalog], Replica],
    milvus: Any,  # noqa: ANN401
    milvus_lite: MilvusLite,
    query: Vectors,
) -> None:
    there = replica(catalog)
    docs = there.collection()
    patient, there.reader.address = there.reader.address, replace(milvus.address, timeout_s=1.0)
    milvus_lite.stop()
    try:
        with pytest.raises(MilvusUnavailableError):
            docs.searched(query, SearchParams())
        with pytest.raises(MilvusUnavailableError):
            there.catalog.look()
        assert there.catalog.names() == ["docs"]
    finally:
        milvus_lite.start()
        there.reader.address = patient
    while True:
        with suppress(MilvusUnavailableError):  # gRPC goes on for some seconds saying that nobody listens
            there.catalog.look()
            break
    while True:
        with suppress(MilvusUnavailableError):
            assert list(docs.searched(query, SearchParams()).hits) == []
            break
