"""Searches with boosts, against every row scored with its boost in NumPy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from indexes.attributes import Attributes
from indexes.base import Boost, Metric, SearchParams, Vectors
from indexes.boosting import boosted
from indexes.collection import Collection
from indexes.filters import matches, parse_filter
from indexes.nearest import Found, nearest
from indexes.rows import Rows
from indexes.tuning import train_for
from indexes.view import Sealed, View

DIMENSION, ROWS, SEALED, VERSION = 16, 500, 300, 3
METRICS: tuple[Metric, ...] = ("cosine", "ip", "l2")
# Every list and every row: a missing hit is a fault of the merge.
EXACT = SearchParams(top_k=10, nprobe=10**6, refine=10**6)


def passing(key: str, value: object) -> Any:  # noqa: ANN401
    return parse_filter({"type": "eq", "key": key, "value": value})


BOOSTS = (Boost(passing("third", 1), 0.05), Boost(passing("tenth", 3), 0.4), Boost(passing("half", True), 0.2))
NOBODY = Boost(passing("tenth", "3"), 1.0)


def metadata(row: int) -> Mapping[str, Any]:
    return {"half": row % 2 == 0, "third": row % 3, "tenth": row % 10}


@dataclass(frozen=True)
class Made:
    """A view of which every fourth row is dead, and what it is made of."""

    view: View
    vectors: Vectors
    metric: Metric

    def expected(self, query: Vectors, params: SearchParams) -> dict[int, float]:
        """Score by row id, best first, every visible row with the greatest of its weights."""
        rows, asked = self.vectors.astype(np.float64), query.astype(np.float64)
        lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(asked)
        inner = rows @ asked
        worth = {"cosine": np.ones(len(rows)), "ip": lengths, "l2": 2 * lengths}[self.metric]
        scores = -((rows - asked) ** 2).sum(axis=1) if self.metric == "l2" else inner
        kept = []
        for row in range(len(rows)):
            weights = [boost.weight for boost in params.boosts if matches(boost.filter, metadata(row))]
            scores[row] += max(weights, default=0.0) * worth[row]
            near = params.score_threshold is None or inner[row] / lengths[row] >= params.score_threshold
            if row % 4 and near and (params.filter is None or matches(params.filter, metadata(row))):
                kept.append(row)
        return {row + 1: float(scores[row]) for row in sorted(kept, key=lambda row: (-scores[row], row))}

    def found(self, query: Vectors, params: SearchParams) -> Found:
        return boosted(self.view, VERSION, query, params, nearest(self.view, VERSION, query, params))


def made(clustered: Callable[[int, int, int], Vectors], metric: Metric, sealed: int, *, one_length: bool) -> Made:
    vectors = clustered(ROWS, DIMENSION, 5)
    if not one_length:
        vectors = vectors * np.linspace(0.5, 2, ROWS, dtype=np.float32)[:, None]
    rows, attributes = Rows(DIMENSION, metric), Attributes()
    ordinals = np.array([attributes.append(metadata(row)) for row in range(ROWS)])
    rows.append(np.arange(1, ROWS + 1), ordinals, vectors, version=1)
    rows.kill(range(1, ROWS + 1, 4), version=2)
    # A write that a search at this version does not see, however near and boosted it is.
    rows.append(np.arange(ROWS + 1, ROWS + 51), ordinals[:50], vectors[:50], version=VERSION + 1)
    index = Sealed(*train_for(vectors[:sealed], metric, 0.99)) if sealed else None
    return Made(View(rows, attributes, index, version=VERSION), vectors, metric)


SHAPES = [(metric, sealed, True) for metric, sealed in product(METRICS, (0, SEALED))]
SHAPES += [(metric, sealed, False) for metric, sealed in product(("ip", "l2"), (0, SEALED))]


@pytest.fixture(params=SHAPES, ids=str, scope="module")
def shape(request: pytest.FixtureRequest) -> tuple[Metric, int, bool]:
    shape: tuple[Metric, int, bool] = request.param
    return shape


@pytest.fixture(scope="module")
def cache() -> dict[object, Made]:
    return {}


@pytest.fixture
def some(
    shape: tuple[Metric, int, bool], clustered: Callable[[int, int, int], Vectors], cache: dict[object, Made]
) -> Made:
    if shape not in cache:
        cache[shape] = made(clustered, shape[0], shape[1], one_length=shape[2])
    return cache[shape]


@pytest.mark.parametrize("boosts", [BOOSTS, BOOSTS[:1], (NOBODY, *BOOSTS[1:]), ()], ids=len)
def test_it_is_the_order_of_every_row_with_its_boost(some: Made, boosts: tuple[Boost, ...]) -> None:
    rng = np.random.default_rng(len(boosts))
    for top_k, filter_ in product((1, 10, 100, ROWS), (None, passing("half", False))):
        query = rng.normal(size=DIMENSION).astype(np.float32)
        asked = query / np.linalg.norm(query) if some.metric == "cosine" else query
        params = replace(EXACT, top_k=top_k, boosts=boosts, filter=filter_)
        expected, found = some.expected(asked, params), some.found(asked, params)
        rows = found.rows.tolist()
        best = list(expected.values())[:top_k]
        assert len(set(rows)) == len(best)
        assert found.scores == pytest.approx(best, rel=1e-4, abs=1e-4)
        assert [expected[row] for row in rows] == pytest.approx(best, rel=1e-4, abs=1e-4)  # which float32 may tie
        assert found.weights == pytest.approx([weight_of(row - 1, boosts) for row in rows])


def weight_of(row: int, boosts: tuple[Boost, ...]) -> float:
    return max([boost.weight for boost in boosts if matches(boost.filter, metadata(row))], default=0.0)


def test_a_boost_finds_what_the_plain_search_does_not(some: Made) -> None:
    query = some.vectors[1] / np.linalg.norm(some.vectors[1])
    plain = some.found(query, replace(EXACT, boosts=(NOBODY,)))
    far = some.found(query, replace(EXACT, boosts=(Boost(passing("tenth", 3), 1.0),)))
    assert {row % 10 for row in far.rows.tolist()} != {row % 10 for row in plain.rows.tolist()}
    assert set(far.rows.tolist()) - set(some.found(query, replace(EXACT, top_k=30, boosts=())).rows.tolist())


def test_the_threshold_is_of_the_cosine_alone(some: Made) -> None:
    query = some.vectors[1] / np.linalg.norm(some.vectors[1])
    cosines = some.found(query, replace(EXACT, top_k=ROWS, boosts=())).cosines
    params = replace(EXACT, top_k=20, boosts=BOOSTS, score_threshold=float(np.median(cosines)))
    found = some.found(query, params)
    assert found.cosines.min() >= params.score_threshold
    if some.view.rows.has_one_length:  # else the plain search too takes its best by score, and then the near of them
        assert found.rows.tolist() == list(some.expected(query, params))[:20]
    assert some.found(query, replace(params, score_threshold=1.0, filter=NOBODY.filter)).rows.tolist() == []


def test_equal_scores_come_by_position() -> None:
    rows, attributes = Rows(2, "cosine"), Attributes()
    vectors = np.repeat(np.eye(2, dtype=np.float32)[:1], 8, axis=0)
    ordinals = np.array([attributes.append({"odd": row % 2 == 1}) for row in range(8)])
    rows.append(np.arange(1, 9), ordinals, vectors, version=1)
    view = View(rows, attributes, None, version=1)
    params = SearchParams(top_k=6, boosts=(Boost(passing("odd", True), 0.5), Boost(passing("odd", True), 0.1)))
    found = boosted(view, 1, vectors[0], params, nearest(view, 1, vectors[0], params))
    assert found.rows.tolist() == [2, 4, 6, 8, 1, 3]
    assert found.scores.tolist() == [1.5] * 4 + [1.0] * 2


def test_an_explanation_names_what_a_boost_outranked(some: Made) -> None:
    query = some.vectors[1] / np.linalg.norm(some.vectors[1])
    params = replace(EXACT, boosts=(Boost(passing("tenth", 3), 1.0),), explain=True, filter=passing("half", True))
    plain, found = nearest(some.view, VERSION, query, params), some.found(query, params)
    dropped = {each.row: each for each in found.omissions.dropped}
    lost = set(plain.rows.tolist()) - set(found.rows.tolist())
    assert lost <= set(dropped)
    assert not set(dropped) & set(found.rows.tolist())
    assert {dropped[row].reason for row in lost} <= {"outranked"}
    assert all((row - 1) % 2 == 0 for row in dropped)  # nothing that the request could not find
    scores = [each.score for each in found.omissions.dropped]
    assert scores == sorted(scores, reverse=True)
    assert max(scores, default=-np.inf) <= found.scores.min() + 1e-4
    assert (found.omissions.deleted, found.omissions.filtered) == (plain.omissions.deleted, plain.omissions.filtered)


def test_rows_know_whether_they_have_one_length() -> None:
    unit = np.eye(3, dtype=np.float32)
    for metric in METRICS:
        rows = Rows(3, metric)
        assert rows.has_one_length
        rows.append(np.arange(1, 4), np.zeros(3, dtype=np.int64), unit, version=1)
        rows.append_dead(np.array([4]))
        assert rows.has_one_length
        rows.revive(np.array([4]), np.zeros(1, dtype=np.int64), 2 * unit[:1])
        assert rows.has_one_length == (metric == "cosine")


def test_hits_say_their_boost_and_the_live_recall_is_of_the_plain_search(
    open_collection: Callable[[], Collection], put: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    collection, unit = open_collection(), np.eye(DIMENSION, dtype=np.float32)
    for i in range(3):
        put(collection, f"d{i}", ["text"], unit[i : i + 1])
    offered: list[list[int]] = []
    monkeypatch.setattr(collection.upkeep.shadow, "offer", lambda *args: offered.append(args[-1].tolist()))
    query = np.array([0.8, 0.6, *[0] * (DIMENSION - 2)], dtype=np.float32)
    late = replace(EXACT, top_k=1, boosts=(Boost(parse_filter({"type": "ne", "key": "no", "value": 1}), 0.25),))
    searched = collection.searched(query, late)
    assert [hit.scores for hit in searched.hits] == [{"vector": pytest.approx(0.8), "boost": 0.25}]
    assert searched.hits[0].score == pytest.approx(1.05)
    assert searched.boost_s > 0
    assert "boost" not in collection.search(query, EXACT)[0].scores
    assert [len(rows) for rows in offered] == [1, 3]
