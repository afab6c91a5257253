"""Searches of a view, against every row in NumPy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from indexes.attributes import Attributes
from indexes.base import Metric, SearchParams, Vectors
from indexes.filters import Filter, matches, parse_filter
from indexes.nearest import NO_OMISSIONS, Found, nearest, nearest_exactly
from indexes.rows import Rows
from indexes.tuning import train_for
from indexes.view import Sealed, View

Clustered = Callable[[int, int, int], Vectors]

DIMENSION, ROWS, SEALED = 16, 1200, 900
METRICS: tuple[Metric, ...] = ("cosine", "ip", "l2")
EVERYTHING = SearchParams(top_k=10, nprobe=10**6, refine=10**6)
HALF = parse_filter({"type": "eq", "key": "half", "value": True})
RARE = parse_filter({"type": "eq", "key": "rare", "value": 7})
NOBODY = parse_filter({"type": "eq", "key": "rare", "value": "7"})


def metadata(row: int) -> Mapping[str, Any]:
    return {"half": row % 2 == 0, "rare": row % 100}


def view_of(vectors: Vectors, metric: Metric, sealed_rows: int) -> View:
    """Row id = position + 1, one document a row, all born at version 1."""
    rows, attributes, sealed = Rows(vectors.shape[1], metric), Attributes(), None
    ordinals = np.array([attributes.append(metadata(row)) for row in range(len(vectors))])
    rows.append(np.arange(1, len(vectors) + 1), ordinals, vectors, version=1)
    if sealed_rows:
        sealed = Sealed(*train_for(vectors[:sealed_rows], metric, 0.99))
    return View(rows, attributes, sealed, version=1)


def lengths(rows: int) -> Vectors:
    return np.linspace(0.5, 2, rows, dtype=np.float32)[:, None]


@pytest.fixture(scope="module")
def made() -> dict[Metric, View]:
    return {}


@pytest.fixture(params=METRICS)
def view(request: pytest.FixtureRequest, clustered: Clustered, made: dict[Metric, View]) -> View:
    metric: Metric = request.param
    if metric not in made:
        vectors = clustered(ROWS, DIMENSION, 1)
        made[metric] = view_of(vectors if metric == "cosine" else vectors * lengths(ROWS), metric, SEALED)
    return made[metric]


@pytest.fixture
def queries(clustered: Clustered) -> Vectors:
    return clustered(30, DIMENSION, 2)


def scores(view: View, query: Vectors) -> np.ndarray:
    vectors = view.rows.vectors().astype(np.float64)
    if view.rows.metric == "l2":
        return -np.square(vectors - query).sum(axis=1)
    return vectors @ query


def check(view: View, query: Vectors, found: Found, allowed: Sequence[int], top_k: int) -> None:
    """The best of the allowed positions, in order, with their scores."""
    exact = scores(view, query)
    expected = sorted(allowed, key=lambda position: -exact[position])[:top_k]
    np.testing.assert_allclose(found.scores, exact[expected], atol=1e-4)
    positions = found.rows - 1
    assert set(positions.tolist()) <= set(allowed)
    assert len(set(positions.tolist())) == len(positions) == len(expected)
    np.testing.assert_allclose(found.scores, exact[positions], atol=1e-4)


@pytest.mark.parametrize("top_k", [1, 10, 400, 2000])
def test_every_list_and_every_candidate_makes_it_exact(view: View, queries: Vectors, top_k: int) -> None:
    for query in queries:
        found = nearest(view, 1, query, replace(EVERYTHING, top_k=top_k))
        check(view, query, found, range(ROWS), top_k)


@pytest.mark.parametrize(("wanted", "every"), [(HALF, 2), (RARE, 100)])
@pytest.mark.parametrize("top_k", [1, 10, 700])
def test_a_filtered_search_ranks_what_passes_and_nothing_else(
    view: View, queries: Vectors, wanted: Filter, every: int, top_k: int
) -> None:
    allowed = [row for row in range(ROWS) if matches(wanted, metadata(row))]
    assert len(allowed) == ROWS // every
    for query in queries:
        found = nearest(view, 1, query, replace(EVERYTHING, top_k=top_k, filter=wanted))
        check(view, query, found, allowed, top_k)


def test_recall_with_default_settings(view: View, clustered: Clustered) -> None:
    """Of questions that lie among the rows."""
    queries = view.rows.vectors()[::25] + 0.1 * clustered(ROWS // 25, DIMENSION, 5)
    found = [nearest(view, 1, query, SearchParams()).rows for query in queries]
    exact = [nearest_exactly(view, 1, query, SearchParams()) for query in queries]
    assert np.mean([np.isin(one, other).mean() for one, other in zip(exact, found, strict=True)]) >= 0.97


def test_the_exact_search_is_numpys(view: View, queries: Vectors) -> None:
    for wanted, allowed in ((None, range(ROWS)), (HALF, range(0, ROWS, 2))):
        for query in queries:
            rows = nearest_exactly(view, 1, query, SearchParams(filter=wanted))
            exact = scores(view, query)
            expected = sorted(allowed, key=lambda position: -exact[position])[:10]
            np.testing.assert_allclose(exact[rows - 1], exact[expected], atol=1e-4)


def test_a_filter_that_nothing_passes_finds_nothing(view: View, queries: Vectors) -> None:
    found = nearest(view, 1, queries[0], SearchParams(filter=NOBODY))
    assert len(found.rows) == len(found.scores) == len(found.cosines) == 0


def test_as_many_results_as_there_are_however_narrow_the_search(view: View, queries: Vectors) -> None:
    narrow = SearchParams(top_k=ROWS, nprobe=1, refine=1)
    assert len(nearest(view, 1, queries[0], narrow).rows) == ROWS
    assert len(nearest(view, 1, queries[0], replace(narrow, filter=HALF)).rows) == ROWS // 2


def test_rows_of_other_versions_are_not_found(clustered: Clustered, queries: Vectors) -> None:
    view = view_of(clustered(600, DIMENSION, 3), "cosine", 400)
    view.rows.kill(range(1, 101), version=5)
    view.rows.kill([500], version=5)
    left = {version: nearest(view, version, queries[0], replace(EVERYTHING, top_k=600)).rows for version in (0, 4, 5)}
    assert [len(rows) for rows in left.values()] == [0, 600, 499]
    assert not np.isin(left[5], [*range(1, 101), 500]).any()


def test_visiting_one_list_finds_less_than_visiting_all(view: View, queries: Vectors) -> None:
    def rows(nprobe: int) -> list[list[int]]:
        return [nearest(view, 1, query, SearchParams(nprobe=nprobe, refine=1)).rows.tolist() for query in queries]

    assert rows(1) != rows(10**6)


def test_the_three_metrics_rank_differently(clustered: Clustered, queries: Vectors) -> None:
    vectors = clustered(ROWS, DIMENSION, 1) * lengths(ROWS)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    best = {
        metric: [
            nearest(view_of(unit if metric == "cosine" else vectors, metric, 0), 1, query, SearchParams()).rows.tolist()
            for query in queries
        ]
        for metric in METRICS
    }
    assert best["cosine"] != best["ip"]
    assert best["ip"] != best["l2"]
    assert best["cosine"] != best["l2"]


def test_the_cosine_is_given_whatever_the_metric(view: View, queries: Vectors) -> None:
    vectors = view.rows.vectors()
    for query in queries:
        found = nearest(view, 1, 3 * query if view.rows.metric != "cosine" else query, SearchParams())
        hits = vectors[found.rows - 1]
        np.testing.assert_allclose(found.cosines, hits @ query / np.linalg.norm(hits, axis=1), atol=1e-5)


def test_the_score_per_cosine_is_what_turning_a_row_towards_the_query_adds(view: View, queries: Vectors) -> None:
    """At the same lengths: each row is turned in the plane of it and the query."""
    vectors = view.rows.vectors().astype(np.float64)
    for query in queries if view.rows.metric == "cosine" else 3 * queries:
        found = nearest(view, 1, query, SearchParams(top_k=5))
        toward = query / np.linalg.norm(query)
        for row, score, cosine, slope in zip(found.rows, found.scores, found.cosines, found.per_cosine, strict=True):
            vector, lower = vectors[row - 1], cosine - 0.1
            across = vector - (vector @ toward) * toward
            across /= np.linalg.norm(across)
            turned = np.linalg.norm(vector) * (lower * toward + np.sqrt(1 - lower**2) * across)
            turned_score = -np.square(turned - query).sum() if view.rows.metric == "l2" else turned @ query
            assert turned_score == pytest.approx(score - 0.1 * slope, abs=1e-4)


def test_the_threshold_is_on_the_cosine(view: View, queries: Vectors) -> None:
    everything = nearest(view, 1, queries[0], SearchParams(top_k=50))
    threshold = float(np.sort(everything.cosines)[25])
    found = nearest(view, 1, queries[0], SearchParams(top_k=50, score_threshold=threshold))
    assert found.rows.tolist() == everything.rows[everything.cosines >= threshold].tolist()
    assert 0 < len(found.rows) < 50


def test_equal_rows_come_in_the_order_of_their_ids(clustered: Clustered) -> None:
    vectors = np.repeat(clustered(300, DIMENSION, 4), 4, axis=0)
    view = view_of(vectors, "cosine", 900)
    for position in (0, 896, 898, 1196):
        start = position - position % 4
        found = nearest(view, 1, vectors[position], replace(EVERYTHING, top_k=4))
        assert found.rows.tolist() == [start + 1, start + 2, start + 3, start + 4]


# How a search says what it did


def test_a_rare_filter_is_scanned_and_a_common_one_is_not(clustered: Clustered, queries: Vectors) -> None:
    view = view_of(clustered(6000, DIMENSION, 1), "cosine", 6000)
    few, many = (nearest(view, 1, queries[0], SearchParams(nprobe=2, refine=2, filter=f)).plan for f in (RARE, HALF))
    assert few is not None
    assert many is not None
    assert (few.way, many.way) == ("scan", "lists")
    assert few.selectivity == pytest.approx(0.01, abs=1e-3)
    assert (many.nprobe, many.candidates) == (3, 40)  # 2 / sqrt(0.5), 10 * 2 / 0.5


def test_what_was_dropped_and_why(clustered: Clustered) -> None:
    view = view_of(clustered(ROWS, DIMENSION, 1), "cosine", ROWS)
    query = view.rows.vectors()[0]
    ranked = nearest(view, 1, query, replace(EVERYTHING, top_k=ROWS)).rows.tolist()
    even = [row for row in ranked if row % 2]  # position row - 1 is even
    view.rows.kill([even[0]], version=2)
    params = SearchParams(top_k=2, nprobe=10, refine=10, filter=HALF, explain=True)
    found = nearest(view, 2, query, params)
    assert found.plan is not None
    assert found.plan.way == "lists"
    assert found.rows.tolist() == even[1:3]
    told = {dropped.row: dropped.reason for dropped in found.omissions.dropped}
    assert set(told.values()) == {"outranked"}
    assert list(told) == [row for row in even[3:] if row in told]  # best first
    assert found.omissions.deleted == 1
    assert found.omissions.filtered == found.plan.candidates - 1 - 2 - len(told) > 0
    below = nearest(view, 2, query, replace(params, score_threshold=float(found.cosines[0]) - 1e-6))
    assert below.rows.tolist() == even[1:2]
    assert {dropped.reason for dropped in below.omissions.dropped} == {"threshold"}
    assert nearest(view, 2, query, replace(params, explain=False)).omissions == NO_OMISSIONS


def test_what_the_search_may_not_return_is_never_named(view: View, queries: Vectors) -> None:
    params = SearchParams(top_k=3, nprobe=4, refine=20, filter=HALF, explain=True, score_threshold=0.2)
    filtered, named = 0, set[bool]()
    for query in queries:
        omissions = nearest(view, 1, query, params).omissions
        filtered += omissions.filtered
        named |= {matches(HALF, metadata(dropped.row - 1)) for dropped in omissions.dropped}
    assert filtered > 0
    assert named == {True}
