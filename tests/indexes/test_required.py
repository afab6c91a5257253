"""Searches under a mandatory filter: what fails it does not exist for them, in hits, counts and explanations."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.attributes import Attributes
from indexes.base import Boost, Document, Metric, SearchParams, Vectors
from indexes.boosting import boosted
from indexes.collection import Collection
from indexes.filters import Filter, joined, matches, parse_filter
from indexes.nearest import NO_OMISSIONS, Found, nearest, nearest_exactly
from indexes.rows import Rows
from indexes.shadow import ShadowSearches
from indexes.tuning import train_for
from indexes.view import Sealed, View

Clustered = Callable[[int, int, int], Vectors]

DIMENSION, ROWS, SEALED = 16, 800, 600
METRICS: tuple[Metric, ...] = ("cosine", "ip", "l2")
EVERYTHING = SearchParams(top_k=10, nprobe=10**6, refine=10**6, explain=True)
OURS = parse_filter({"type": "eq", "key": "tenant", "value": "ours"})
HALF = parse_filter({"type": "eq", "key": "half", "value": True})


def passing(key: str, value: object) -> Filter:
    return parse_filter({"type": "eq", "key": key, "value": value})


def metadata(row: int) -> Mapping[str, Any]:
    return {"tenant": "ours" if row % 3 else "theirs", "half": row % 2 == 0, "tenth": row % 10}


def view_of(vectors: Vectors, metric: Metric, kept: Sequence[int], sealed_rows: int) -> View:
    """The ``kept`` rows of all, each a document with the id that it has among all, the first ones sealed."""
    rows, attributes = Rows(DIMENSION, metric), Attributes()
    ordinals = np.array([attributes.append(metadata(row)) for row in kept])
    chosen = vectors[list(kept)]
    rows.append(np.array(kept) + 1, ordinals, chosen, version=1)
    return View(rows, attributes, Sealed(*train_for(chosen[:sealed_rows], metric, 0.99)), version=1)


@pytest.fixture(params=METRICS, scope="module")
def metric(request: pytest.FixtureRequest) -> Metric:
    metric: Metric = request.param
    return metric


@pytest.fixture(scope="module")
def views(metric: Metric) -> tuple[View, View]:
    """Of all documents, and of ours alone; as many of ours are sealed in both."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(ROWS, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if metric != "cosine":
        vectors *= np.linspace(0.5, 2, ROWS, dtype=np.float32)[:, None]
    ours = [row for row in range(ROWS) if row % 3]
    sealed_of_ours = sum(row < SEALED for row in ours)
    return view_of(vectors, metric, range(ROWS), SEALED), view_of(vectors, metric, ours, sealed_of_ours)


@pytest.fixture
def queries(clustered: Clustered) -> Vectors:
    return clustered(20, DIMENSION, 2)


FILTERS = [None, HALF, passing("tenth", 4), passing("tenth", "4"), passing("tenant", "theirs")]
BOOSTS = (Boost(passing("tenth", 4), 0.4), Boost(passing("tenant", "theirs"), 1.0))


def search(view: View, query: Vectors, params: SearchParams) -> Found:
    found = nearest(view, 1, query, params)
    return boosted(view, 1, query, params, found) if params.boosts else found


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
@pytest.mark.parametrize("boosts", [(), BOOSTS], ids=["plain", "boosted"])
def test_it_finds_what_one_filter_for_both_finds(
    views: tuple[View, View], queries: Vectors, wanted: Filter | None, boosts: tuple[Boost, ...]
) -> None:
    params = replace(EVERYTHING, filter=wanted, boosts=boosts)
    for query in queries:
        apart = search(views[0], query, replace(params, required=OURS))
        at_once = search(views[0], query, replace(params, filter=joined(OURS, wanted)))
        np.testing.assert_array_equal(apart.rows, at_once.rows)
        np.testing.assert_array_equal(apart.scores, at_once.scores)


@pytest.mark.parametrize("wanted", FILTERS, ids=str)
@pytest.mark.parametrize("boosts", [(), BOOSTS], ids=["plain", "boosted"])
def test_it_is_as_if_there_were_nothing_else(
    views: tuple[View, View], queries: Vectors, wanted: Filter | None, boosts: tuple[Boost, ...]
) -> None:
    """All that is said of a search of everything under the filter, said of one of our documents alone."""
    params = replace(EVERYTHING, filter=wanted, boosts=boosts, required=OURS)
    for query in queries:
        ours, alone = (search(view, query, params) for view in views)
        np.testing.assert_array_equal(ours.rows, alone.rows)
        np.testing.assert_allclose(ours.scores, alone.scores, atol=1e-4)
        assert ours.omissions == alone.omissions == NO_OMISSIONS


def test_candidates_are_told_of_without_it_and_not_with_it(views: tuple[View, View], queries: Vectors) -> None:
    params = replace(EVERYTHING, nprobe=10, refine=20, filter=HALF, boosts=BOOSTS)
    open_, held = (search(views[0], queries[0], replace(params, required=required)) for required in (None, OURS))
    assert open_.omissions.dropped
    assert held.omissions == NO_OMISSIONS


def test_the_recall_of_its_searches_is_measured_among_what_it_lets_through(
    views: tuple[View, View], queries: Vectors
) -> None:
    shadow, params = ShadowSearches(share=1.0), SearchParams(required=OURS)
    for query in queries:
        assert {row % 3 for row in (nearest_exactly(views[0], 1, query, params) - 1).tolist()} <= {1, 2}
        exact = nearest(views[0], 1, query, replace(EVERYTHING, required=OURS, explain=False))
        shadow.offer(views[0], 1, query, params, exact.rows)
    shadow.compare()
    assert (shadow.estimate.recall, shadow.estimate.searches) == (1.0, len(queries))


@pytest.mark.parametrize("documents", [1, 40])
def test_what_is_said_of_a_search_tells_of_no_row(
    open_collection: Callable[[], Collection], cut: Callable[..., Any], clustered: Clustered, documents: int
) -> None:
    collection, vectors = open_collection(), clustered(8 * documents, DIMENSION, 7)
    for at in range(documents):
        document, chunks = cut(f"f{at}", list("abcdefgh"))
        put(collection, replace(document, metadata=metadata(at + 1)), chunks, vectors[8 * at : 8 * at + 8])
    if collection.upkeep.is_due:
        collection.upkeep.step()
    params = SearchParams(required=OURS, explain=True)
    searched = collection.searched(vectors[0], params)
    nothing = (searched.plan, searched.sealed_rows, searched.tail_rows, searched.deleted, searched.filtered)
    assert (nothing, searched.dropped) == ((None,) * 5, [])
    told = collection.searched(vectors[0], replace(params, required=None))
    assert told.sealed_rows is not None
    assert told.tail_rows is not None
    assert told.sealed_rows + told.tail_rows == 8 * documents
    assert bool(told.plan) == (documents > 32)


def put(collection: Collection, document: Document, chunks: Any, vectors: Vectors) -> None:  # noqa: ANN401
    collection.put(document, chunks, vectors, collection.accept())


LEAVES = st.builds(
    lambda type_, key, value: parse_filter({"type": type_, "key": key, "value": value}),
    st.sampled_from(["eq", "ne"]),
    st.sampled_from(["tenant", "half", "tenth", "absent"]),
    st.sampled_from(["ours", True, 3, 4]),
)
TREES = st.recursive(
    LEAVES,
    lambda parts: st.builds(
        lambda type_, both: joined(*both) if type_ == "and" else both[0],
        st.sampled_from(["and", "first"]),
        st.lists(parts, min_size=1, max_size=3),
    ),
    max_leaves=5,
)


@settings(deadline=None, max_examples=60)
@given(required=TREES, wanted=st.none() | TREES, seed=st.integers(0, 99))
def test_whatever_the_filters_no_hit_and_no_candidate_fails_one(
    views: tuple[View, View], required: Filter, wanted: Filter | None, seed: int
) -> None:
    query = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    query /= np.linalg.norm(query)
    found = nearest(views[0], 1, query, replace(EVERYTHING, required=required, filter=wanted))
    named = [*found.rows.tolist(), *(each.row for each in found.omissions.dropped)]
    both = joined(required, wanted)
    assert both is not None
    assert all(matches(both, metadata(row - 1)) for row in named)
    assert len(found.rows) == min(10, sum(matches(both, metadata(row)) for row in range(ROWS)))
