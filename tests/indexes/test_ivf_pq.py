"""IVF-PQ against its slow exact twin, ``exact_top_k``."""

from collections.abc import Callable
from typing import cast

import numpy as np
import pytest

from indexes.base import Mask, Positions, SearchParams, Vectors, Visibility
from indexes.flat import exact_top_k
from indexes.ivf_pq import MIN_ROWS, IvfPqIndex, IvfPqParams

Masked = Callable[[Mask], Visibility]
Clustered = Callable[[int, int, int], Vectors]

ROWS, DIMENSION, QUERIES = 6000, 48, 100


@pytest.fixture(scope="module")
def shared() -> dict[str, object]:
    return {}


@pytest.fixture
def vectors(clustered: Clustered) -> Vectors:
    return clustered(ROWS + QUERIES, DIMENSION, 11)


@pytest.fixture
def rows(vectors: Vectors) -> Vectors:
    return vectors[:ROWS]


@pytest.fixture
def queries(vectors: Vectors) -> Vectors:
    return vectors[ROWS:]


@pytest.fixture
def index(rows: Vectors, shared: dict[str, object]) -> IvfPqIndex:
    """Built once: the index does not change."""
    if "index" not in shared:
        shared["index"] = IvfPqIndex.build(rows)
    return cast(IvfPqIndex, shared["index"])


@pytest.fixture
def everything(masked: Masked) -> Visibility:
    return masked(np.ones(ROWS, dtype=bool))


def recall(found: Positions, expected: Positions) -> float:
    return float(np.mean([len(set(f) & set(e)) / len(e) for f, e in zip(found, expected, strict=True)]))


@pytest.fixture
def exact(rows: Vectors, queries: Vectors) -> Positions:
    return exact_top_k(rows, queries, np.ones(ROWS, dtype=bool), 10)[1]


def test_recall_at_10_with_default_settings(
    index: IvfPqIndex, queries: Vectors, exact: Positions, everything: Visibility
) -> None:
    _, found = index.search(queries, 10, everything, SearchParams())
    assert recall(found, exact) >= 0.95


def test_scores_are_exact_inner_products_in_exact_order(
    index: IvfPqIndex, rows: Vectors, queries: Vectors, everything: Visibility
) -> None:
    scores, found = index.search(queries, 10, everything, SearchParams())
    products = np.einsum("qkd,qd->qk", rows[found].astype(np.float64), queries.astype(np.float64))
    np.testing.assert_allclose(scores, products, atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_over_fetching_and_refining_finds_what_the_codes_alone_miss(
    index: IvfPqIndex, queries: Vectors, exact: Positions, everything: Visibility
) -> None:
    _, codes_only = index.search(queries, 10, everything, SearchParams(refine=1))
    _, refined = index.search(queries, 10, everything, SearchParams(refine=10))
    assert recall(codes_only, exact) < 0.8
    assert recall(refined, exact) > recall(codes_only, exact) + 0.1


def test_visiting_one_list_finds_less_than_visiting_all(
    index: IvfPqIndex, queries: Vectors, exact: Positions, everything: Visibility
) -> None:
    _, one = index.search(queries, 10, everything, SearchParams(nprobe=1))
    _, every = index.search(queries, 10, everything, SearchParams(nprobe=index.params.nlist))
    assert recall(one, exact) < recall(every, exact)


def test_every_list_and_every_candidate_makes_it_exact(
    index: IvfPqIndex, queries: Vectors, exact: Positions, everything: Visibility
) -> None:
    _, found = index.search(queries, 10, everything, SearchParams(nprobe=10**6, refine=ROWS))
    np.testing.assert_array_equal(found, exact)


def test_rows_that_are_not_visible_are_never_returned(
    index: IvfPqIndex, queries: Vectors, exact: Positions, masked: Masked
) -> None:
    mask = np.ones(ROWS, dtype=bool)
    mask[np.unique(exact)] = False  # exactly those that would be found
    _, found = index.search(queries, 10, masked(mask), SearchParams())
    assert (found >= 0).all()
    assert mask[found].all()


@pytest.mark.parametrize("visible", [1, 9, 10, 11, 60, 600, 5000])
def test_top_k_results_whenever_top_k_rows_are_visible(
    index: IvfPqIndex, rows: Vectors, queries: Vectors, masked: Masked, visible: int
) -> None:
    print(f"seed {visible}")  # noqa: T201
    mask = np.zeros(ROWS, dtype=bool)
    mask[np.random.default_rng(visible).choice(ROWS, visible, replace=False)] = True
    scores, found = index.search(queries, 10, masked(mask), SearchParams())
    expected = min(10, visible)
    assert ((found >= 0).sum(axis=1) == expected).all()
    assert mask[found[:, :expected]].all()
    products = np.einsum("qkd,qd->qk", rows[found[:, :expected]], queries)
    np.testing.assert_allclose(scores[:, :expected], products, atol=1e-6)


def test_few_visible_rows_are_ranked_exactly(
    index: IvfPqIndex, rows: Vectors, queries: Vectors, masked: Masked
) -> None:
    mask = np.zeros(ROWS, dtype=bool)
    mask[::500] = True
    scores, found = index.search(queries, 10, masked(mask), SearchParams())
    expected_scores, expected = exact_top_k(rows, queries, mask, 10)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)


def test_more_results_than_the_probed_lists_hold_come_from_an_exact_scan(
    index: IvfPqIndex, queries: Vectors, everything: Visibility
) -> None:
    _, found = index.search(queries[:5], 2000, everything, SearchParams(nprobe=1))
    assert (found >= 0).all()
    assert all(len(set(row)) == 2000 for row in found.tolist())


def test_more_results_than_rows_are_padded(index: IvfPqIndex, queries: Vectors, everything: Visibility) -> None:
    scores, found = index.search(queries[:3], ROWS + 5, everything, SearchParams())
    assert ((found >= 0).sum(axis=1) == ROWS).all()
    assert (found[:, ROWS:] == -1).all()
    assert np.isneginf(scores[:, ROWS:]).all()


def test_no_visible_row_gives_no_result(index: IvfPqIndex, queries: Vectors, masked: Masked) -> None:
    scores, found = index.search(queries, 10, masked(np.zeros(ROWS, dtype=bool)), SearchParams())
    assert (found == -1).all()
    assert np.isneginf(scores).all()


def test_too_few_rows_are_refused_with_the_limit(clustered: Clustered) -> None:
    with pytest.raises(ValueError, match="at least 256 rows to train on, not 255"):
        IvfPqIndex.build(clustered(MIN_ROWS - 1, 16, 1))


def test_the_fewest_rows_that_train_are_searchable(clustered: Clustered, masked: Masked) -> None:
    vectors = clustered(MIN_ROWS, 16, 2)
    index = IvfPqIndex.build(vectors)
    _, found = index.search(vectors, 1, masked(np.ones(MIN_ROWS, dtype=bool)), SearchParams())
    assert (found[:, 0] == np.arange(MIN_ROWS)).mean() > 0.99
    assert index.size == MIN_ROWS


@pytest.mark.parametrize("dimension", [1, 7, 16, 100, 384, 768])
@pytest.mark.parametrize("rows", [256, 5000, 1_000_000])
def test_derived_parameters_are_ones_faiss_takes(rows: int, dimension: int) -> None:
    params = IvfPqParams.for_rows(rows, dimension)
    assert dimension % params.m == 0
    assert 1 <= params.nprobe <= params.nlist <= rows // 39


def test_describe_names_the_kind_and_its_parameters(index: IvfPqIndex) -> None:
    described = index.describe()
    assert described == {"index": "ivf_pq", "nlist": 153, "m": 4, "nprobe": 38, "refine": 10}
