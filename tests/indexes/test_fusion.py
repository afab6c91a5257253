"""Hybrid searches of a collection, against vectors and words scored one by one."""

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from indexes import fusion, lexical_search, required_words
from indexes.base import Boost, Chunk, Document, Hit, Hybrid, Metric, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.errors import LexicalError
from indexes.filters import Filter, matches, parse_filter
from indexes.fusion import per_unit
from indexes.lexical_state import Served
from indexes.lexical_view import LexicalView
from indexes.spec import CollectionSpec

Clustered = Callable[[int, int, int], Vectors]

DIMENSION, DOCUMENTS, CHUNKS = 16, 80, 5
EVERY = 10**6
WORDS = ("red", "green", "blue", "round", "square", "large", "small", "old", "new", "rare")


def equals(key: str, value: object) -> Filter:
    return parse_filter({"type": "eq", "key": key, "value": value})


@dataclass
class Filled:
    """A collection and what is in it: text, vector and metadata by chunk id."""

    collection: Collection
    texts: dict[str, str]
    vectors: dict[str, Vectors]
    metadata: dict[str, Mapping[str, Any]]

    def put(self, name: str, texts: Sequence[str], vectors: Vectors, metadata: Mapping[str, Any]) -> None:
        self.forget(name)
        chunks = [Chunk(name, n, text, 0, 1) for n, text in enumerate(texts)]
        document = Document(name, "", " ".join(texts), metadata, None, "text", b"")
        self.collection.put(document, chunks, vectors, self.collection.accept())
        for chunk, vector in zip(chunks, vectors, strict=True):
            self.texts[chunk.id], self.vectors[chunk.id], self.metadata[chunk.id] = chunk.text, vector, metadata

    def delete(self, name: str) -> None:
        self.collection.delete(name, self.collection.accept())
        self.forget(name)

    def forget(self, name: str) -> None:
        for id_ in [id_ for id_ in self.texts if id_.rpartition("#")[0] == name]:
            del self.texts[id_], self.vectors[id_], self.metadata[id_]

    def passing(self, *filters: Filter | None) -> list[str]:
        return [id_ for id_, held in self.metadata.items() if all(f is None or matches(f, held) for f in filters)]

    def fed_back(self, hits: Sequence[Hit], weight: float) -> Vectors:
        """``QUERY`` as the best of a first order move it."""
        first = sum_of_shares({hit.chunk.id: self.cosine(QUERY, hit.chunk.id) for hit in hits}, hits, weight)
        best = sorted(first, key=lambda id_: -first[id_])[:3]
        moved: Vectors = unit(QUERY) + 0.2 * np.mean([unit(self.vectors[id_]) for id_ in best], axis=0)
        return moved

    def cosine(self, query: Vectors, id_: str) -> float:
        vector = self.vectors[id_]
        return float(vector @ query / np.linalg.norm(vector) / np.linalg.norm(query))


@pytest.fixture(params=["cosine", "ip", "l2"])
def metric(request: pytest.FixtureRequest) -> Metric:
    return request.param


@pytest.fixture
def catalog(open_catalog: Callable[[], Catalog]) -> Catalog:
    return open_catalog()


@pytest.fixture
def filled(catalog: Catalog, spec: CollectionSpec, clustered: Clustered, metric: Metric) -> Filled:
    """80 documents of five chunks, a sixth of them replaced or deleted; sealed, with a tail and words on the disk."""
    collection, _ = catalog.ensure("docs", replace(spec, metric=metric))
    made, rng = Filled(collection, {}, {}, {}), np.random.default_rng(5)
    vectors = clustered(DOCUMENTS * CHUNKS, DIMENSION, 5) * rng.uniform(1, 2, (DOCUMENTS * CHUNKS, 1)).astype("f4")
    for n in [*range(DOCUMENTS), *range(0, DOCUMENTS, 8)]:
        texts = [" ".join(rng.choice(WORDS[:-1], 6)) for _ in range(CHUNKS)]
        if n % 20 == 3:
            texts[2] += " rare"
        mine = vectors[n * CHUNKS : (n + 1) * CHUNKS]
        made.put(f"d{n}", texts, mine, {"tenth": n % 10, "half": n % 2 == 0, "n": n})
        if n == DOCUMENTS - 10:
            while collection.upkeep.step():
                pass
            collection.lexical.settle()
    for n in range(4, DOCUMENTS, 9):
        made.delete(f"d{n}")
    return made


def asked(text: str = "red rare", weight: float = 0.65, **others: Any) -> SearchParams:  # noqa: ANN401
    return SearchParams(**{"nprobe": EVERY, "refine": EVERY, "hybrid": Hybrid(text, weight), **others})


def scores(hits: Sequence[Hit]) -> dict[str, float]:
    return {hit.chunk.id: hit.score for hit in hits}


def unit(vector: Vectors) -> Vectors:
    made: Vectors = vector / np.linalg.norm(vector)
    return made


def sum_of_shares(cosines: Mapping[str, float], hits: Sequence[Hit], weight: float) -> dict[str, float]:
    """By chunk id, the cosine and BM25 of all hits, each held to the best of its kind."""
    words = {hit.chunk.id: hit.scores["lexical"] for hit in hits}
    best_cosine, best_bm25 = max(cosines.values()), max(words.values())
    return {id_: weight * max(0, cosines[id_]) / best_cosine + (1 - weight) * words[id_] / best_bm25 for id_ in cosines}


QUERY = np.random.default_rng(9).normal(size=DIMENSION).astype(np.float32)


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.65, 1.0])
def test_every_score_is_the_sum_of_its_shares(filled: Filled, weight: float) -> None:
    found = filled.collection.searched(QUERY, asked(weight=weight, top_k=1000))
    assert found.without_lexical is None
    assert set(scores(found.hits)) == set(filled.texts)
    query = filled.fed_back(found.hits, weight) if 0 < weight < 1 else QUERY
    cosines = {id_: filled.cosine(query, id_) for id_ in filled.texts}
    expected = sum_of_shares(cosines, found.hits, weight)
    for hit in found.hits:
        assert hit.scores["vector"] == pytest.approx(filled.cosine(QUERY, hit.chunk.id), abs=1e-5)
        assert (hit.scores["lexical"] > 0) == bool({"red", "rare"} & set(hit.chunk.text.split()))
        assert hit.score == pytest.approx(expected[hit.chunk.id], abs=1e-5)
        assert hit.score_per_cosine == pytest.approx(weight / max(cosines.values()), rel=1e-4)
    got = [hit.score for hit in found.hits]
    assert got == sorted(got, reverse=True)
    assert found.lexical_s > 0
    assert found.fusion_s > 0


@pytest.mark.parametrize("deep", [10, 25])
def test_whatever_the_depth_scores_are_exact(filled: Filled, monkeypatch: pytest.MonkeyPatch, deep: int) -> None:
    """Also those of rows that only one of the two searches found."""
    every = {hit.chunk.id: hit for hit in filled.collection.search(QUERY, asked("red", top_k=1000))}
    monkeypatch.setattr(fusion, "LEAST_DEPTH", deep)
    hits = filled.collection.search(QUERY, asked("red", top_k=10))
    assert len(hits) == 10
    by_vectors = scores(filled.collection.search(QUERY, replace(asked(top_k=deep), hybrid=None)))
    by_words = sorted(every.values(), key=lambda hit: -hit.scores["lexical"])[:deep]
    for hit in hits:
        assert hit.scores == pytest.approx(every[hit.chunk.id].scores, abs=1e-5)
        assert hit.chunk.id in by_vectors or hit.scores["lexical"] >= by_words[-1].scores["lexical"] - 1e-5


def test_words_find_what_vectors_do_not(filled: Filled) -> None:
    hits = filled.collection.search(QUERY, asked("rare", weight=0.0, top_k=3))
    assert all("rare" in hit.chunk.text for hit in hits)


def test_without_words_to_look_for_vectors_decide(filled: Filled) -> None:
    plain = filled.collection.search(QUERY, replace(asked(top_k=10), hybrid=None))
    for text in ("", "!?", "absent words"):
        found = filled.collection.searched(QUERY, asked(text, top_k=10))
        assert found.without_lexical is None
        assert all(hit.scores["lexical"] == 0 for hit in found.hits)
        expected = sorted(plain, key=lambda hit: -hit.scores["vector"])
        if filled.collection.spec.metric == "cosine":
            assert [hit.chunk.id for hit in found.hits] == [hit.chunk.id for hit in expected]


def test_a_search_that_asks_for_no_words_is_what_it_was(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LexicalView, "best", lambda *_: pytest.fail("words were looked for"))
    found = filled.collection.searched(QUERY, replace(asked(), hybrid=None))
    assert (found.lexical_s, found.fusion_s, found.without_lexical) == (0, 0, None)
    assert all(hit.scores.keys() == {"vector"} for hit in found.hits)


def test_a_threshold_is_a_cosine(filled: Filled) -> None:
    cosines = sorted(filled.cosine(QUERY, id_) for id_ in filled.texts)
    threshold = cosines[-20]
    found = filled.collection.searched(QUERY, asked(top_k=50, score_threshold=threshold - 1e-6, explain=True))
    assert len(found.hits) == 20
    assert all(hit.scores["vector"] >= threshold - 1e-5 for hit in found.hits)
    assert {each.reason for each in found.dropped} == {"threshold"}


def test_a_boost_counts_as_a_cosine(filled: Filled) -> None:
    boosts = (Boost(equals("tenth", 7), 0.5),)
    found = filled.collection.search(QUERY, asked(top_k=1000, boosts=boosts))
    query = filled.fed_back(found, 0.65)  # which no boost moves
    boosted = {hit.chunk.id: filled.cosine(query, hit.chunk.id) + hit.scores["boost"] for hit in found}
    best, best_bm25 = max(boosted.values()), max(hit.scores["lexical"] for hit in found)
    for hit in found:
        assert hit.scores["boost"] == (0.5 if filled.metadata[hit.chunk.id]["tenth"] == 7 else 0)
        shares = 0.65 * max(0, boosted[hit.chunk.id]), 0.35 * hit.scores["lexical"]
        assert hit.score == pytest.approx(shares[0] / best + shares[1] / best_bm25, abs=1e-5)


def test_an_explanation_names_what_was_outranked_by_the_same_scores(filled: Filled) -> None:
    every = scores(filled.collection.search(QUERY, asked(top_k=1000)))
    found = filled.collection.searched(QUERY, asked(top_k=5, explain=True))
    assert found.dropped
    assert not {each.chunk for each in found.dropped} & set(scores(found.hits))
    for each in found.dropped:
        assert each.reason == "outranked"
        assert each.score == pytest.approx(every[each.chunk], abs=1e-5)
    hidden = filled.collection.searched(QUERY, asked(top_k=5, explain=True, required=equals("half", True)))
    assert (list(hidden.dropped), hidden.deleted, hidden.filtered, hidden.plan) == ([], None, None, None)


@pytest.mark.parametrize("few", [0, 400])
@pytest.mark.parametrize("more", [None, "tenth"])
def test_words_weigh_as_if_there_were_no_rows_but_those_that_are_required(
    filled: Filled, catalog: Catalog, monkeypatch: pytest.MonkeyPatch, more: str | None, few: int
) -> None:
    """On the disk, in memory and among rows that died as in a collection that never had the others."""
    monkeypatch.setattr(required_words, "_FEW_ROWS", few)
    required, wanted = equals("half", True), None if more is None else equals(more, 2)
    alone, _ = catalog.ensure("alone", filled.collection.spec)
    mine = Filled(alone, {}, {}, {})
    for id_ in filled.passing(required):
        name = id_.rpartition("#")[0]
        if id_.endswith("#0"):
            ids = [each for each in filled.texts if each.startswith(f"{name}#")]
            texts, vectors = ([of[each] for each in ids] for of in (filled.texts, filled.vectors))
            mine.put(name, texts, np.stack(vectors), filled.metadata[id_])
    for text in ("red rare", "rare", "green old large", "red red", "absent"):
        for top_k in (3, 1000):
            params = asked(text, top_k=top_k, filter=wanted)
            got = filled.collection.search(QUERY, replace(params, required=required))
            expected = {hit.chunk.id: hit for hit in alone.search(QUERY, replace(params, required=required))}
            assert {hit.chunk.id: (hit.score, hit.scores["lexical"]) for hit in got} == {
                id_: pytest.approx((hit.score, hit.scores["lexical"]), abs=1e-6) for id_, hit in expected.items()
            }
            plain = {hit.chunk.id: hit.scores["lexical"] for hit in alone.search(QUERY, replace(params, top_k=1000))}
            assert all((hit.scores["lexical"] > 0) == (plain[hit.chunk.id] > 0) for hit in got)


def test_words_that_too_many_rows_have_are_left_to_the_vectors(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of those that may know of more rows than can be named."""

    def told(text: str) -> dict[str, float]:
        hits = filled.collection.search(QUERY, asked(text, required=equals("half", False), top_k=1000))
        return {hit.chunk.id: hit.scores["lexical"] for hit in hits if hit.scores["lexical"]}

    monkeypatch.setattr(required_words, "_FEW_ROWS", 0)
    assert len(told("red")) > 50 > len(told("rare")) > 0
    monkeypatch.setattr(required_words, "_MOST_READ", 50)
    assert told("red rare") == told("rare")
    monkeypatch.setattr(required_words, "_MOST_READ_IN_ALL", 1)
    assert told("red rare") == {}


FILTERS = (None, *(equals("tenth", n) for n in range(3)), equals("half", False), equals("n", 11), equals("n", -1))


@pytest.mark.parametrize("few", [0, 400])
def test_no_search_leaks_and_each_has_all_it_may_have(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(lexical_search, "_FEW_ROWS", few)
    monkeypatch.setattr(fusion, "LEAST_DEPTH", 10)
    rng, leaks = np.random.default_rng(few), 0
    for n in range(700):
        filter_, required = (FILTERS[int(i)] for i in rng.integers(len(FILTERS), size=2))
        words = " ".join(rng.choice(WORDS, int(rng.integers(1, 5))))
        top_k = int(rng.integers(1, 30))
        if n % 50 == 0:
            filled.delete(f"d{int(rng.integers(DOCUMENTS))}")
        params = asked(words, float(rng.random()), top_k=top_k, filter=filter_, required=required)
        hits = filled.collection.search(rng.normal(size=DIMENSION).astype(np.float32), params)
        may = set(filled.passing(filter_, required))
        leaks += len({hit.chunk.id for hit in hits} - may)
        assert len(hits) == min(top_k, len(may))
    assert leaks == 0


@pytest.mark.parametrize("few", [0, 400])
def test_a_filter_leaves_the_best_of_those_with_the_words(
    filled: Filled, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(lexical_search, "_FEW_ROWS", few)
    monkeypatch.setattr(fusion, "LEAST_DEPTH", 5)
    for filter_ in FILTERS[1:5]:
        every = filled.collection.search(QUERY, asked("red rare", 0.0, top_k=1000, filter=filter_))
        best = sorted((hit.scores["lexical"] for hit in every), reverse=True)[:5]
        hits = filled.collection.search(QUERY, asked("red rare", 0.0, top_k=5, filter=filter_))
        assert [hit.scores["lexical"] for hit in hits] == pytest.approx(best, rel=1e-5)


@pytest.mark.parametrize("metric", ["cosine"], indirect=True)
def test_tantivy_failing_costs_the_words_only(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    class Panicking:
        def search(self, *_: object, **__: object) -> None:
            raise PanicException("index out of bounds")

        def doc_freq(self, *_: object) -> int:
            return 3

    lexical = filled.collection.lexical
    view = lexical.view
    assert view.words is not None
    plain = filled.collection.search(QUERY, replace(asked(), hybrid=None))
    broken = replace(view, words=replace(view.words, searcher=Panicking()))  # type: ignore[arg-type]
    said: list[Exception] = []
    with monkeypatch.context() as patch:
        patch.setattr(lexical, "_served", Served(broken, None))
        patch.setattr(lexical, "distrust", said.append)
        found = filled.collection.searched(QUERY, asked())
    assert found.without_lexical == "failing"
    assert scores(found.hits) == scores(plain)
    assert "panicked" in str(said[0])
    assert filled.collection.searched(QUERY, asked()).without_lexical is None


@pytest.mark.parametrize("metric", ["cosine"], indirect=True)
def test_while_it_is_built_vectors_decide_and_it_is_said(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    lexical = filled.collection.lexical
    monkeypatch.setattr(lexical, "_served", replace(lexical.served, absence="building"))
    found = filled.collection.searched(QUERY, asked())
    assert found.without_lexical == "building"
    assert all(hit.scores.keys() == {"vector"} for hit in found.hits)


@pytest.mark.parametrize("metric", ["cosine"], indirect=True)
def test_a_write_that_the_lexical_index_fails_at_is_done(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> Sequence[str]:
        raise LexicalError("no")

    monkeypatch.setattr(filled.collection.lexical._analyzer._terms, "_of", fail)
    filled.put("late", ["red"], QUERY[None], {})
    assert "late#0" in scores(filled.collection.search(QUERY, replace(asked(), hybrid=None)))


@pytest.mark.parametrize("metric", ["cosine"], indirect=True)
def test_a_document_that_is_being_replaced_is_always_found_by_its_words(filled: Filled) -> None:
    """Before or after, never neither, and never twice."""
    done = threading.Event()
    filled.put("target", ["needle"], QUERY[None], {})

    def replacing() -> int:
        count = 0
        while not done.is_set():
            filled.collection.put(
                Document("target", "", "needle", {}, None, "text", b"%d" % count),
                [Chunk("target", 0, "needle", 0, 1)], -QUERY[None], filled.collection.accept(),
            )  # fmt: skip
            count += 1
        return count

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(replacing)
        try:
            for _ in range(150):
                found = filled.collection.searched(QUERY, asked("needle", 0.0, top_k=5))
                assert [hit.chunk.id for hit in found.hits if hit.scores["lexical"] > 0] == ["target#0"]
        finally:
            done.set()
        assert writing.result(timeout=60) > 0


def test_per_unit_is_the_share_of_the_greatest() -> None:
    values = np.array([0.5, 2.0, -1.0], dtype=np.float32)
    assert values * per_unit(values) == pytest.approx([0.25, 1.0, -0.5])
    assert per_unit(np.array([-1.0, 0.0], dtype=np.float32)) == 0
    assert per_unit(np.empty(0, dtype=np.float32)) == 0


@pytest.mark.parametrize("metric", ["cosine"], indirect=True)
def test_the_recall_of_the_vectors_is_still_measured(filled: Filled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filled.collection.upkeep.shadow, "_share", 1.0)
    for n in range(20):
        query = np.random.default_rng(n).normal(size=DIMENSION).astype(np.float32)
        filled.collection.search(query, SearchParams(10, hybrid=Hybrid("rare", 0.1)))
    filled.collection.upkeep.shadow.compare()
    assert filled.collection.upkeep.shadow.estimate.low > 0.5
