"""A collection on Milvus: filters, failures, losses. What holds for every collection is marked ``contract``."""

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from indexes.base import Boost, Chunk, Document, Hybrid, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.errors import (
    CollectionNotFoundError,
    MilvusUnavailableError,
    NothingSealedError,
    RowTooLargeError,
    StoreUnavailableError,
)
from indexes.filters import matches, parse_filter
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy
from milvus_lite import MilvusLite

Open = Callable[[], Collection]
Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]
Clustered = Callable[[int, int, int], Vectors]
Put = Callable[..., str]

DIMENSION, DOCUMENTS = 16, 60

pytestmark = [pytest.mark.cluster, pytest.mark.parametrize("milvus", ["FLAT"], indirect=True)]


def ids(collection: Collection, query: Vectors, params: SearchParams = SearchParams(top_k=1000)) -> list[str]:  # noqa: B008  frozen
    return [hit.chunk.id for hit in collection.search(query, params)]


def write(collection: Collection, cut: Cut, name: str, vectors: Vectors, metadata: Mapping[str, Any]) -> None:
    document, chunks = cut(name, [f"{name} {part}" for part in range(len(vectors))])
    collection.put(replace(document, metadata=metadata), chunks, vectors, collection.accept())


@pytest.fixture
def query(clustered: Clustered) -> Vectors:
    return clustered(1, DIMENSION, 9)[0]


# Filters


VALUES: list[Any] = [
    *(1, 1.0, 2, -3, 2.5, True, False, 2**53 + 1, -(2**62), 1e-9, None),
    *("1", "true", "", "de", "d", "ä", "\U0001f600", 'x" or row >= 0', "\\", "\n", "long " * 20, "long " * 20 + "x"),
    *([], [1, "de", None], [True, 2**53], ["a", "b"], {"nested": 1}),
]
SCALARS: list[Any] = [value for value in VALUES if isinstance(value, str | int | float)]
KEYS = ["a", 'b"] or true or x["', "ß c", "$meta", "row"]


def drawn(choose: random.Random, depth: int = 0) -> dict[str, Any]:
    if depth < 3 and choose.random() < 0.35:
        parts = [drawn(choose, depth + 1) for _ in range(choose.randint(1, 3))]
        return {"type": choose.choice(["and", "or"]), "filters": parts}
    type_ = choose.choice(["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"])
    value = choose.choice([scalar for scalar in SCALARS if type_ in {"eq", "ne"} or not isinstance(scalar, bool)])
    if type_ in {"in", "nin"}:
        value = choose.sample(SCALARS, choose.randint(1, 5))
    return {"type": type_, "key": choose.choice(KEYS), "value": value}


def test_filters_mean_what_they_mean_everywhere(
    open_collection: Open, cut: Cut, clustered: Clustered, query: Vectors
) -> None:
    seed = 11
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    choose = random.Random(seed)  # noqa: S311  a test's choices
    collection, vectors = open_collection(), clustered(DOCUMENTS, DIMENSION, 4)
    held = {f"d{at}": {key: choose.choice(VALUES) for key in KEYS if choose.random() < 0.7} for at in range(DOCUMENTS)}
    with ThreadPoolExecutor(8) as threads:
        for at, (name, metadata) in enumerate(held.items()):
            threads.submit(write, collection, cut, name, vectors[at : at + 1], metadata)
    known = {name: orjson.loads(orjson.dumps(metadata)) for name, metadata in held.items()}
    some = 0
    for _ in range(150):
        filter_, required = (parse_filter(drawn(choose)) for _ in range(2))
        for params in (SearchParams(1000, filter=filter_), SearchParams(7, filter=filter_, required=required)):
            wanted = [each for each in (params.filter, params.required) if each]
            passing = {f"{name}#0" for name, metadata in known.items() if all(matches(f, metadata) for f in wanted)}
            searched = collection.searched(query, params)
            found = [hit.chunk.id for hit in searched.hits]
            assert set(found) <= passing
            assert len(set(found)) == len(found) == min(params.top_k, len(passing)), params
            assert not searched.failed
            some += 0 < len(passing) < DOCUMENTS
    assert some > 100


def test_what_milvus_lets_through_the_store_refuses_and_counts(
    open_collection: Open, cut: Cut, clustered: Clustered, query: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, vectors = open_collection(), clustered(20, DIMENSION, 4)
    for at in range(20):
        write(collection, cut, f"d{at}", vectors[at : at + 1], {"tenant": "ours" if at % 2 else "theirs"})
    required = parse_filter({"type": "eq", "key": "tenant", "value": "ours"})
    params = SearchParams(top_k=20, required=required)
    honest = ids(collection, query, params)
    assert len(honest) == 10
    candidates = type(collection._table).candidates

    def lying(self: Any, query: Vectors, limit: int, condition: str, params: SearchParams) -> list[int]:  # noqa: ANN401
        return candidates(self, query, limit, "", params)

    monkeypatch.setattr(type(collection._table), "candidates", lying)
    searched = collection.searched(query, params)
    assert [hit.chunk.id for hit in searched.hits] == honest
    assert searched.failed == {"required": 10}


# What is found


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_scores_are_exact_by_every_metric_and_boosts_are_added(
    open_catalog: Callable[[], Catalog],
    spec: CollectionSpec,
    cut: Cut,
    query: Vectors,
    metric: Any,  # noqa: ANN401
) -> None:
    collection = open_catalog().ensure("docs", replace(spec, metric=metric))[0]
    vectors = np.random.default_rng(5).normal(size=(40, DIMENSION)).astype(np.float32)
    for at in range(40):
        write(collection, cut, f"d{at}", vectors[at : at + 1], {"tenth": at % 10})
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ query / lengths
    truth = {"cosine": cosines, "ip": vectors @ query, "l2": -((vectors - query) ** 2).sum(axis=1)}[metric]
    hits = collection.search(query, SearchParams(top_k=8))
    order = np.argsort(-truth)[:8]
    assert [hit.chunk.document_id for hit in hits] == [f"d{at}" for at in order]
    np.testing.assert_allclose([hit.score for hit in hits], truth[order], rtol=1e-4)
    np.testing.assert_allclose([hit.scores["vector"] for hit in hits], cosines[order], rtol=1e-4, atol=1e-6)
    per_cosine = {"cosine": np.ones(40), "ip": lengths, "l2": 2 * lengths}[metric]
    boosted = truth + np.where(np.arange(40) % 10 == 4, 3.0 * per_cosine, 0)
    boost = Boost(parse_filter({"type": "eq", "key": "tenth", "value": 4}), 3.0)
    hits = collection.search(query, SearchParams(top_k=4, boosts=(boost,)))
    assert [hit.chunk.document_id for hit in hits] == [f"d{at}" for at in np.argsort(-boosted)[:4]]
    assert [hit.scores["boost"] for hit in hits] == [3.0] * 4


def test_candidates_that_are_no_hits_are_named_and_words_reported_off(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection, vectors = open_collection(), clustered(6, DIMENSION, 1)
    put(collection, "a", list("uvwxyz"), vectors)
    params = SearchParams(top_k=2, explain=True, hybrid=Hybrid("w", 0.5), refine=3)
    searched = collection.searched(vectors[0], params)
    assert (searched.without_lexical, searched.plan, len(searched.hits)) == ("off", None, 2)
    near = collection.searched(vectors[0], replace(params, top_k=6, score_threshold=0.99999, hybrid=None))
    assert near.without_lexical is None
    assert len(near.hits) + len(near.dropped) == 6
    assert {dropped.reason for dropped in near.dropped} == {"threshold"}


def test_what_milvus_has_no_room_for_is_refused_before_it_is_stored(
    open_collection: Open, cut: Cut, clustered: Clustered, query: Vectors
) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    document, chunks = cut("long", ["x" * 70_000])
    with pytest.raises(RowTooLargeError, match=r"document 'long' has .* bytes in chunk 0; .* the limit is 65535"):
        collection.put(document, chunks, vectors, collection.accept())
    assert (collection.documents("", 10), ids(collection, query)) == ([], [])


# Milvus away, lost, or wrong


def when_back(act: Callable[[], Any]) -> Any:  # noqa: ANN401
    """gRPC goes on for some seconds saying that nobody listens."""
    while True:
        with suppress(MilvusUnavailableError):
            return act()


def test_while_milvus_is_away_nothing_is_acknowledged_and_nothing_acknowledged_is_lost(
    open_catalog: Callable[[], Catalog], open_collection: Open, put: Put, clustered: Clustered, milvus_lite: MilvusLite,
    milvus: Any,  # noqa: ANN401
) -> None:  # fmt: skip
    collection, vectors = open_collection(), clustered(4, DIMENSION, 1)
    put(collection, "a", ["kept"], vectors[:1])
    put(collection, "b", ["deleted"], vectors[1:2])
    collection.delete("b", collection.accept())
    put(collection, "c", ["doomed"], vectors[2:3])
    patient, milvus.address = milvus.address, replace(milvus.address, timeout_s=1.0)
    milvus_lite.stop()
    try:
        with pytest.raises(MilvusUnavailableError):
            collection.search(vectors[0], SearchParams())
        with pytest.raises(MilvusUnavailableError):
            put(collection, "d", ["stored, and nobody was told"], vectors[3:])
        version = collection._store.version()
        with pytest.raises(MilvusUnavailableError):
            collection.confirm("d", b"stored, and nobody was told", collection.accept())
        with pytest.raises(MilvusUnavailableError):
            put(collection, "e", ["refused"], vectors[3:])
        with pytest.raises(MilvusUnavailableError):
            collection.delete("c", collection.accept())
        assert collection._store.version() == version, "the second is not even stored"
        assert collection.document("a").text == "kept"
        assert collection.trouble
    finally:
        milvus_lite.start()
        milvus.address = patient
    when_back(collection._feed.check)
    assert ids(collection, vectors[3]) == ["d#0", *ids(collection, vectors[3])[1:]]
    assert sorted(ids(collection, vectors[0])) == ["a#0", "c#0", "d#0"]
    assert collection.verify().problems == []


def test_a_server_that_starts_without_milvus_reads_documents_and_searches_when_it_is_back(
    open_collection: Open,
    put: Put,
    clustered: Clustered,
    milvus_lite: MilvusLite,
    milvus: Any,  # noqa: ANN401
) -> None:
    collection, vectors = open_collection(), clustered(1, DIMENSION, 1)
    put(collection, "a", ["kept"], vectors)
    patient, milvus.address = milvus.address, replace(milvus.address, timeout_s=1.0)
    milvus.close()
    milvus_lite.stop()
    try:
        collection = open_collection()
        assert collection.document("a").text == "kept"
        with pytest.raises(MilvusUnavailableError):
            collection.search(vectors[0], SearchParams())
    finally:
        milvus_lite.start()
        milvus.address = patient
    assert when_back(lambda: ids(collection, vectors[0])) == ["a#0"]


def filled(collection: Collection, put: Put, clustered: Clustered) -> Vectors:
    vectors = clustered(30, DIMENSION, 3)
    for at in range(10):
        put(collection, f"d{at}", ["x", "y", "z"], vectors[3 * at : 3 * at + 3])
    return vectors


def test_rows_that_milvus_lost_got_otherwise_or_should_not_have_are_found_and_mended(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection = open_collection()
    vectors = filled(collection, put, clustered)
    collection.delete("d1", collection.accept())  # rows 4, 5, 6
    table = collection._table
    (content, checksum), *_ = table.contents(8, 9)
    filters: dict[str, Any] = {"held": [], "ranges": {}}
    changed = content | filters | {"payload": content["payload"].replace("y", "w"), "checksum": checksum}
    stale = content | filters | {"row": 5, "checksum": 7}
    beyond = content | filters | {"row": 5000, "checksum": 7}
    table.upsert([changed, stale, beyond])
    table.delete([1, 2])
    problems = collection.verify().problems
    assert problems == [
        "Milvus lacks 2 of 27 rows",
        "Milvus has 1 of 27 rows otherwise than the store",
        "Milvus has 2 rows that the store has not",
    ]
    assert "d0#0" not in ids(collection, vectors[0])
    collection.rebuild()
    assert collection.verify().problems == []
    assert ids(collection, vectors[0])[0] == "d0#0"
    assert table.count() == 27


def test_after_a_crash_it_is_compared_and_after_an_orderly_end_it_is_not(
    open_catalog: Callable[[], Catalog], open_collection: Open, put: Put, clustered: Clustered, tmp_path: Path
) -> None:
    collection = open_collection()
    vectors = filled(collection, put, clustered)
    assert collection.upkeep.step() is None
    collection = open_collection()
    assert not collection.upkeep.is_due
    (path,) = (tmp_path / "data" / "collections").glob("*/milvus.json")
    open_catalog().close()
    place = orjson.loads(path.read_bytes())
    assert place["sent"] == 10
    path.write_bytes(orjson.dumps(place | {"sent": None}))  # as a crash leaves it
    collection = open_collection()
    collection._table.delete([1])
    assert collection.upkeep.is_due
    assert collection.trouble
    assert [collection.upkeep.step(), collection.upkeep.step()] == ["compared", None]
    assert collection.trouble == []
    assert ids(collection, vectors[0])[0] == "d0#0"


def test_a_collection_that_milvus_has_lost_is_filled_again(
    open_collection: Open,
    put: Put,
    clustered: Clustered,
    milvus: Any,  # noqa: ANN401
) -> None:
    collection = open_collection()
    vectors = filled(collection, put, clustered)
    assert not collection.upkeep.is_due
    milvus.drop(collection._table.name)
    assert ids(collection, vectors[0]) == []
    assert collection.upkeep.is_due
    assert collection.trouble
    assert collection.upkeep.step() == "compared"
    assert len(ids(collection, vectors[0])) == 30
    assert collection.trouble == []


def test_writes_go_on_while_it_is_compared(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection = open_collection()
    vectors = filled(collection, put, clustered)

    def write_on(thread: int) -> None:
        for step in range(25):
            name = f"t{thread}-{step % 5}"
            put(collection, name, ["a", "b"], vectors[step : step + 2])
            if step % 4 == 3:
                collection.delete(name, collection.accept())

    with ThreadPoolExecutor(4) as threads:
        writing = [threads.submit(write_on, thread) for thread in range(3)]
        compared = 0
        while not all(each.done() for each in writing):
            collection.rebuild()
            assert collection.verify().problems == []
            compared += 1
        for each in writing:
            each.result()
    assert compared > 2
    expected = {f"{entry[0]}#{at}" for entry in collection.documents("", 1000) for at in range(2)}
    assert expected <= set(ids(collection, vectors[0]))
    assert len(ids(collection, vectors[0])) == collection._table.count() == collection.describe().chunks


def test_without_the_setting_it_is_set_aside_and_its_rows_stay(
    open_catalog: Callable[[], Catalog], open_collection: Open, put: Put, clustered: Clustered, tmp_path: Path
) -> None:
    collection = open_collection()
    vectors = filled(collection, put, clustered)
    open_catalog().close()
    alone = Catalog(tmp_path / "data", IndexPolicy())
    try:
        assert alone.damaged() == ["docs"]
        with pytest.raises(StoreUnavailableError, match=r"index\.milvus\.url is not set"):
            alone.get("docs")
    finally:
        alone.close()
    assert len(ids(open_collection(), vectors[0])) == 30


def test_a_dropped_collection_leaves_nothing_in_milvus(
    open_catalog: Callable[[], Catalog],
    spec: CollectionSpec,
    put: Put,
    clustered: Clustered,
    milvus: Any,  # noqa: ANN401
) -> None:
    catalog = open_catalog()
    before = set(milvus.client.list_collections())
    collection, _ = catalog.ensure("docs", spec)
    filled(collection, put, clustered)
    (name,) = set(milvus.client.list_collections()) - before
    assert name.startswith("quarry_v1_")
    catalog.drop("docs")
    assert set(milvus.client.list_collections()) == before
    with pytest.raises(CollectionNotFoundError):
        catalog.get("docs")


def test_a_collection_of_another_shape_under_the_name_is_refused_in_words(
    open_collection: Open,
    put: Put,
    clustered: Clustered,
    milvus: Any,  # noqa: ANN401
) -> None:
    collection = open_collection()
    milvus.client.create_collection(collection._table.name, dimension=DIMENSION)
    with pytest.raises(MilvusUnavailableError, match="is not one of this program's with vectors of 16 dimensions"):
        put(collection, "a", ["x"], clustered(1, DIMENSION, 1))


def test_there_is_no_curve_to_calibrate(open_collection: Open) -> None:
    with pytest.raises(NothingSealedError):
        open_collection().upkeep.calibrate()
