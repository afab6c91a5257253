"""The curve against a slow twin that searches once for every point."""

import json
from collections.abc import Iterator

import faiss
import numpy as np
import pytest

from indexes.base import Metric, Vectors
from indexes.curve import (
    CurvePoint,
    RecallCurve,
    choose,
    disturbed,
    least_cost_with_better_codes,
    measure_curve,
    query_rows,
    search_cost,
    wanted_recall,
)
from indexes.ivf_pq import IvfPqIndex, IvfPqParams

ROWS, DIMENSION = 1500, 24


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small trainings wait for their threads more than they compute."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


def make(metric: Metric, seed: int = 5) -> Vectors:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((30, DIMENSION))[rng.integers(30, size=ROWS)] + rng.standard_normal((ROWS, DIMENSION))
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def slow_recall(index: IvfPqIndex, vectors: Vectors, nprobe: int, refine: int, noise: float = 0.0) -> float:
    """One query at a time, by plain NumPy in double precision."""
    wide = vectors.astype(np.float64)
    found = []
    positions = query_rows(len(vectors))
    for row, query in zip(positions, disturbed(vectors[positions], index.metric, noise), strict=True):
        scores = wide @ query if index.metric != "l2" else -np.square(wide - query).sum(axis=1)
        scores[row] = -np.inf
        truth = set(np.argsort(-scores)[:10].tolist())
        _, near = index.candidates(query[None], 10 * refine + 1, nprobe)
        candidates = [p for p in near[0].tolist() if p not in (row, -1)][: 10 * refine]
        found.append(len(truth & set(sorted(candidates, key=lambda p: -scores[p])[:10])) / 10)
    return float(np.mean(found))


@pytest.fixture(scope="module", params=["cosine", "ip", "l2"])
def measured(request: pytest.FixtureRequest) -> tuple[IvfPqIndex, Vectors, RecallCurve]:
    vectors = make(request.param)
    index = IvfPqIndex.train(vectors, request.param, IvfPqParams(30, 3, 30))
    return index, vectors, measure_curve(index, vectors, 1.0)


@pytest.mark.parametrize(("nprobe", "refine"), [(1, 1), (1, 32), (4, 3), (12, 10), (30, 1), (30, 32)])
def test_every_point_is_what_one_search_for_it_finds(
    measured: tuple[IvfPqIndex, Vectors, RecallCurve], nprobe: int, refine: int
) -> None:
    index, vectors, curve = measured
    point = next(p for p in curve.points if (p.nprobe, p.refine) == (nprobe, refine))
    assert point.recall == pytest.approx(slow_recall(index, vectors, nprobe, refine), abs=1e-9)
    assert point.cost == search_cost(index, nprobe, refine)


def test_with_noise_the_questions_are_others(measured: tuple[IvfPqIndex, Vectors, RecallCurve]) -> None:
    index, vectors, plain = measured
    noisy = measure_curve(index, vectors, 1.0, noise=1.2)
    for at in (5, 40, 80):
        point = noisy.points[at]
        expected = slow_recall(index, vectors, point.nprobe, point.refine, noise=1.2)
        assert point.recall == pytest.approx(expected, abs=1e-9)
    assert noisy.points[40].recall != plain.points[40].recall


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_noise_is_as_long_as_told_and_repeats(metric: Metric) -> None:
    queries = make(metric)
    moved = disturbed(queries, metric, 0.75)
    np.testing.assert_array_equal(moved, disturbed(queries, metric, 0.75))
    norms = np.linalg.norm(queries, axis=1)
    if metric == "cosine":  # random directions are nearly at right angles
        np.testing.assert_allclose(np.linalg.norm(moved, axis=1), 1, rtol=1e-5)
        assert np.einsum("nd,nd->n", moved, queries).mean() == pytest.approx(0.8, abs=0.02)
    else:
        np.testing.assert_allclose(np.linalg.norm(moved - queries, axis=1), 0.75 * norms, rtol=1e-4)


def test_the_sweep_is_of_powers_of_two_their_middles_and_all_lists(
    measured: tuple[IvfPqIndex, Vectors, RecallCurve],
) -> None:
    assert sorted({point.nprobe for point in measured[2].points}) == [1, 2, 3, 4, 6, 8, 12, 16, 24, 30]


def test_the_same_rows_give_the_same_curve(measured: tuple[IvfPqIndex, Vectors, RecallCurve]) -> None:
    index, vectors, curve = measured
    assert measure_curve(index, vectors, 1.0) == curve


def test_a_sweep_that_stops_early_chooses_as_a_whole_one_would(
    measured: tuple[IvfPqIndex, Vectors, RecallCurve],
) -> None:
    index, vectors, whole = measured
    short = measure_curve(index, vectors, 0.6)
    assert len(short.points) < len(whole.points)
    assert short.chosen == choose(list(whole.points), 0.6)


def test_the_curve_survives_json(measured: tuple[IvfPqIndex, Vectors, RecallCurve]) -> None:
    assert RecallCurve.from_json(json.loads(json.dumps(measured[2].to_json()))) == measured[2]


def test_rows_that_are_all_alike_are_all_found() -> None:
    vectors = np.ones((300, 8), dtype=np.float32)
    index = IvfPqIndex.train(vectors, "l2", IvfPqParams(1, 1, 1))
    assert {point.recall for point in measure_curve(index, vectors, 0.99).points} == {1.0}


def test_other_rows_than_those_of_the_index_are_refused() -> None:
    vectors = make("ip")
    index = IvfPqIndex.train(vectors, "ip", IvfPqParams(4, 3, 4))
    with pytest.raises(ValueError, match="the index holds 1500 rows, not 1499"):
        measure_curve(index, vectors[1:], 0.9)


@pytest.mark.parametrize(("target", "wanted"), [(0.99, 0.995), (0.9, 0.91), (0.98, 0.99), (1.0, 1.0)])
def test_the_margin_is_half_of_what_is_missing_and_a_point_at_most(target: float, wanted: float) -> None:
    assert wanted_recall(target) == pytest.approx(wanted)


def test_the_cheapest_point_that_reaches_target_and_margin_is_chosen() -> None:
    cheap, near = CurvePoint(1, 4, 0.8, 1.0), CurvePoint(2, 4, 0.905, 2.0)
    right, dear = CurvePoint(4, 2, 0.92, 3.0), CurvePoint(8, 1, 0.99, 4.0)
    assert choose([dear, near, right, cheap], 0.9) == right


def test_out_of_reach_the_best_point_is_chosen_and_of_equals_the_cheapest() -> None:
    best, same, worse = CurvePoint(4, 8, 0.8, 3.0), CurvePoint(8, 8, 0.8, 4.0), CurvePoint(1, 1, 0.7, 1.0)
    assert choose([worse, same, best], 0.9) == best
    assert not RecallCurve((best,), best, 0.9, 10).meets_target


@pytest.mark.parametrize(
    ("rows", "queries"), [(256, 25), (10_000, 1000), (200_000, 1000), (400_000, 500), (10**7, 100)]
)
def test_many_rows_are_asked_fewer_questions(rows: int, queries: int) -> None:
    assert len(query_rows(rows)) == queries


def test_the_cost_is_the_documented_sum() -> None:
    index = IvfPqIndex.train(make("ip"), "ip", IvfPqParams(30, 3, 30))
    rows = ROWS * index.imbalance * 6 / 30
    expected = 4 * 24 * 30 + 1024 * 24 + rows * (8 + 30) + 40 * (3000 + 1.25 * 96)
    assert search_cost(index, 6, 4) == pytest.approx(expected)
    assert search_cost(index, 99, 4) == search_cost(index, 30, 4)
    assert search_cost(index, 30, 1000) - search_cost(index, 30, 1) == pytest.approx(1490 * 3120)
    curve = RecallCurve((CurvePoint(6, 4, 1.0, expected),), CurvePoint(6, 4, 1.0, expected), 0.9, 1)
    assert least_cost_with_better_codes(index, curve) == search_cost(index, 6, 1) + 4 * 24 * 24


def test_by_distance_each_list_has_tables_of_its_own() -> None:
    index = IvfPqIndex.train(make("l2"), "l2", IvfPqParams(30, 3, 30))
    rows = ROWS * index.imbalance / 30
    more = search_cost(index, 7, 1) - search_cost(index, 6, 1)
    assert more == pytest.approx(1024 * 24 + rows * 38)


def test_without_a_point_at_the_target_better_codes_have_no_bound() -> None:
    index = IvfPqIndex.train(make("ip"), "ip", IvfPqParams(4, 3, 4))
    point = CurvePoint(4, 32, 0.5, 9.0)
    assert least_cost_with_better_codes(index, RecallCurve((point,), point, 0.9, 1)) == 0


@pytest.mark.parametrize("target", [0.5, 0.8, 0.95, 0.999])
def test_the_frontier_is_what_no_other_point_beats_and_the_choice_is_on_it(target: float) -> None:
    rng = np.random.default_rng(3)
    points = [
        CurvePoint(nprobe, refine, float(rng.integers(50, 99)) / 100, float(rng.integers(1, 8)))
        for nprobe in range(1, 9)
        for refine in range(1, 9)
    ]
    chosen = choose(points, target)
    frontier = RecallCurve(tuple(points), chosen, target, 100).frontier
    unbeaten = {
        (point.cost, point.recall)
        for point in points
        if not any(
            other.cost <= point.cost and other.recall >= point.recall and
            (other.cost, other.recall) != (point.cost, point.recall)
            for other in points
        )
    }  # fmt: skip
    assert {(point.cost, point.recall) for point in frontier} == unbeaten
    assert len(frontier) == len(unbeaten)
    assert list(frontier) == sorted(frontier, key=lambda point: point.cost)
    assert chosen in frontier
