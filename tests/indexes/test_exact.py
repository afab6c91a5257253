"""Exact scores against a plain loop."""

import numpy as np
import pytest

from indexes import exact
from indexes.base import Mask, Metric, Positions, Scores, Vectors
from indexes.exact import ExactRows, exact_scores, norms_of, range_top_k, scores_at

METRICS: list[Metric] = ["cosine", "ip", "l2"]


def integers(rows: int, dimension: int, seed: int) -> Vectors:
    """Small whole numbers: their scores are exact in float32, so ties are ties."""
    print(f"seed {seed}")  # noqa: T201
    return np.random.default_rng(seed).integers(-3, 4, size=(rows, dimension)).astype(np.float32)


def oracle(vectors: Vectors, query: Vectors, metric: Metric) -> list[float]:
    """Scores by a loop over all rows."""
    if metric == "l2":
        return [-float(np.square(row.astype(np.float64) - query).sum()) for row in vectors]
    return [float(row.astype(np.float64) @ query) for row in vectors]


def top(vectors: Vectors, query: Vectors, metric: Metric, allowed: list[int], top_k: int) -> list[tuple[int, float]]:
    scores = oracle(vectors, query, metric)
    return sorted(((i, scores[i]) for i in allowed), key=lambda row: (-row[1], row[0]))[:top_k]


@pytest.mark.parametrize("metric", METRICS)
def test_scores_of_all_rows(metric: Metric) -> None:
    vectors, queries = integers(50, 7, 1), integers(3, 7, 2)
    expected = [oracle(vectors, query, metric) for query in queries]
    np.testing.assert_array_equal(exact_scores(vectors, None, queries, metric), expected)
    np.testing.assert_allclose(exact_scores(vectors, norms_of(vectors), queries, metric), expected, atol=1e-4)


def test_the_metrics_rank_differently() -> None:
    vectors = np.array([[10, 10], [1, 0], [2, 0.5]], dtype=np.float32)
    query = np.array([[1, 0]], dtype=np.float32)
    unit = vectors / norms_of(vectors)[:, None]
    best = [
        int(exact_scores(rows, None, query, metric).argmax())
        for rows, metric in ((vectors, "ip"), (vectors[[0, 2]], "l2"), (unit, "cosine"))
        if metric in METRICS
    ]
    assert best == [0, 1, 1]


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_to_score_has_no_scores(metric: Metric) -> None:
    vectors = integers(4, 3, 0)
    assert exact_scores(vectors[:0], None, vectors, metric).shape == (4, 0)
    assert exact_scores(vectors, None, vectors[:0], metric).shape == (0, 4)


def test_a_distance_is_never_below_zero() -> None:
    vectors = (1000 + np.random.default_rng(3).random((200, 16))).astype(np.float32)
    assert (exact_scores(vectors, norms_of(vectors), vectors, "l2") <= 0).all()


@pytest.mark.parametrize("metric", METRICS)
def test_scores_at_positions_repeated_and_absent_ones_included(metric: Metric) -> None:
    vectors, query = integers(40, 9, 4), integers(1, 9, 5)[0]
    positions = np.array([39, -1, 0, 7, 7, -1], dtype=np.int64)
    every = oracle(vectors, query, metric)
    expected = [every[p] if p >= 0 else -np.inf for p in positions]
    np.testing.assert_array_equal(scores_at(vectors, query, positions, metric), expected)


@pytest.mark.parametrize("metric", METRICS)
def test_scores_at_positions_of_several_queries(metric: Metric) -> None:
    vectors, queries = integers(40, 9, 6), integers(3, 9, 7)
    positions: Positions = np.random.default_rng(8).integers(-1, 40, size=(3, 11))
    expected = [
        [oracle(vectors, query, metric)[p] if p >= 0 else -np.inf for p in row]
        for query, row in zip(queries, positions, strict=True)
    ]
    np.testing.assert_array_equal(scores_at(vectors, queries, positions, metric), expected)


def test_scores_at_takes_views_of_positions_and_queries() -> None:
    vectors, wide = integers(40, 9, 6), integers(6, 18, 7)
    positions: Positions = np.arange(40, dtype=np.int64)[::2]
    expected = np.array(oracle(vectors, wide[2, ::2], "ip"))[positions]
    np.testing.assert_array_equal(scores_at(vectors, wide[2, ::2], positions, "ip"), expected)


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 5)])
def test_no_positions_have_no_scores(shape: tuple[int, ...]) -> None:
    queries = integers(shape[0], 4, 1) if len(shape) == 2 else integers(1, 4, 1)[0]
    assert scores_at(integers(5, 4, 0), queries, np.empty(shape, dtype=np.int64), "l2").shape == shape


def test_a_position_beyond_the_rows_is_refused() -> None:
    with pytest.raises(IndexError, match="position 5 is not below the 5 rows"):
        scores_at(integers(5, 4, 0), integers(1, 4, 1)[0], np.array([0, 5]), "ip")


def test_arrays_that_faiss_would_misread_are_refused() -> None:
    vectors, query, positions = integers(6, 4, 0), integers(1, 4, 1)[0], np.array([0])
    with pytest.raises(ValueError, match="C-contiguous float32, not float64"):
        scores_at(vectors.astype(np.float64), query, positions, "ip")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="C-contiguous float32"):
        scores_at(vectors[:, ::2], query[:2], positions, "ip")
    with pytest.raises(ValueError, match=r"queries \(3,\) do not fit"):
        scores_at(vectors, query[:3], positions, "ip")


@pytest.fixture(params=[4_194_304, 1, 60], ids=["one block", "blocks of one row", "blocks of ten rows"])
def block_scores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "_BLOCK_SCORES", request.param)


@pytest.mark.usefixtures("block_scores")
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("with_norms", [False, True])
@pytest.mark.parametrize(("start", "length", "top_k", "kept"), [(0, 120, 5, 1.0), (17, 90, 7, 0.3), (100, 20, 30, 0.9)])
def test_a_range_equals_a_loop_over_its_rows(
    metric: Metric, start: int, length: int, top_k: int, kept: float, with_norms: bool
) -> None:
    vectors, queries = integers(120, 4, 9), integers(6, 4, 10)
    mask: Mask = np.random.default_rng(11).random(length) < kept
    allowed = [start + i for i in range(length) if mask[i]]
    norms = norms_of(vectors) if with_norms else None
    scores, positions = range_top_k(ExactRows(vectors, metric, norms), queries, start, mask, top_k)
    assert scores.shape == positions.shape == (6, top_k)
    for query, row_scores, row_positions in zip(queries, scores, positions, strict=True):
        found = [(int(p), float(s)) for p, s in zip(row_positions, row_scores, strict=True) if p >= 0]
        assert found == top(vectors, query, metric, allowed, top_k)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("mask", [np.zeros(0, dtype=bool), np.zeros(9, dtype=bool)])
def test_a_range_without_rows_gives_padding(metric: Metric, mask: Mask) -> None:
    scores, positions = range_top_k(ExactRows(integers(9, 4, 0), metric), integers(2, 4, 1), 0, mask, 3)
    np.testing.assert_array_equal(positions, np.full((2, 3), -1))
    np.testing.assert_array_equal(scores, np.full((2, 3), -np.inf))


def test_no_queries_have_no_results() -> None:
    vectors = integers(9, 4, 0)
    scores, positions = range_top_k(ExactRows(vectors, "ip"), vectors[:0], 0, np.ones(9, dtype=bool), 3)
    assert scores.shape == positions.shape == (0, 3)


def test_a_small_distance_between_long_vectors_is_exact() -> None:
    vectors = np.full((30, 8), 1000.0, dtype=np.float32)
    vectors[:, 0] += np.arange(30, dtype=np.float32) / 64
    everything = np.ones(30, dtype=bool)
    scores, positions = range_top_k(ExactRows(vectors, "l2"), vectors[:1], 0, everything, 3)
    np.testing.assert_array_equal(positions, [[0, 1, 2]])
    np.testing.assert_array_equal(scores, -np.square(np.array([[0, 1, 2]], dtype=np.float32) / 64))


def test_equal_vectors_score_equally_wherever_they_lie() -> None:
    vectors: Vectors = np.random.default_rng(12).random((999, 33), dtype=np.float32)
    vectors[::111] = vectors[0]
    expected: Scores = scores_at(vectors, vectors[0], np.array([0]), "ip")
    scores, _ = range_top_k(ExactRows(vectors[::111].copy(), "ip"), vectors[:1], 0, np.ones(9, dtype=bool), 9)
    np.testing.assert_array_equal(scores[0], np.repeat(expected, 9))
