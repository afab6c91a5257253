from collections.abc import Callable

import numpy as np
import pytest

from indexes.base import Mask, Positions, Scores, SearchParams, Vectors, Visibility
from indexes.flat import FlatIndex, best, exact_top_k

Masked = Callable[[Mask], Visibility]


def oracle(vectors: Vectors, query: Vectors, mask: Mask, top_k: int) -> list[tuple[int, float]]:
    """(position, score) by a loop over all rows."""
    rows = [(i, float(np.float64(vectors[i]) @ np.float64(query))) for i in range(len(vectors)) if mask[i]]
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:top_k]


def integers(rows: int, dimension: int, seed: int) -> Vectors:
    """Small whole numbers: their inner products are exact in float32, so ties are ties."""
    print(f"seed {seed}")  # noqa: T201
    return np.random.default_rng(seed).integers(-3, 4, size=(rows, dimension)).astype(np.float32)


def flat(vectors: Vectors) -> FlatIndex:
    index = FlatIndex(vectors.shape[1])
    index.append(vectors)
    return index


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("rows", "top_k", "kept"), [(1, 3, 1.0), (40, 10, 0.5), (500, 10, 1.0), (500, 7, 0.02)])
def test_results_equal_a_loop_over_all_rows(masked: Masked, seed: int, rows: int, top_k: int, kept: float) -> None:
    vectors, queries = integers(rows, 8, seed), integers(6, 8, seed + 100)
    mask = np.random.default_rng(seed).random(rows) < kept
    scores, positions = flat(vectors).search(queries, top_k, masked(mask), SearchParams())
    for query, row_scores, row_positions in zip(queries, scores, positions, strict=True):
        expected = oracle(vectors, query, mask, top_k)
        found = [(int(p), float(s)) for p, s in zip(row_positions, row_scores, strict=True) if p >= 0]
        assert found == expected


def test_missing_results_are_padded_with_minus_one_and_minus_infinity(masked: Masked) -> None:
    vectors = integers(5, 4, 0)
    mask = np.array([True, False, True, False, False])
    scores, positions = flat(vectors).search(vectors[:2], 4, masked(mask), SearchParams())
    assert scores.shape == positions.shape == (2, 4)
    assert (positions[:, 2:] == -1).all()
    assert np.isneginf(scores[:, 2:]).all()
    assert (positions[:, :2] >= 0).all()


def test_an_empty_index_answers_with_padding(masked: Masked) -> None:
    scores, positions = FlatIndex(4).search(integers(2, 4, 0), 3, masked(np.zeros(0, dtype=bool)), SearchParams())
    assert (positions == -1).all()
    assert np.isneginf(scores).all()


@pytest.mark.parametrize("rows", [10, 11, 100, 1000])
def test_equal_scores_come_by_position(rows: int) -> None:
    same = np.ones((rows, 4), dtype=np.float32)
    _, positions = exact_top_k(same, same[:2], np.ones(rows, dtype=bool), 10)
    np.testing.assert_array_equal(positions, [range(10)] * 2)


def test_of_the_scores_that_tie_for_the_last_place_the_lowest_positions_win() -> None:
    scores = np.full((1, 200), 1.0, dtype=np.float32)
    scores[0, [50, 150]] = 2.0
    _, positions = best(scores, np.arange(200)[None], 4)
    assert positions.tolist() == [[50, 150, 0, 1]]


def test_rows_appended_after_the_mask_was_taken_are_not_searched(masked: Masked) -> None:
    index = flat(integers(10, 4, 0))
    mask = masked(np.ones(10, dtype=bool))
    index.append(100 * np.ones((5, 4), dtype=np.float32))
    _, positions = index.search(np.ones((1, 4), dtype=np.float32), 15, mask, SearchParams())
    assert positions.max() == 9


def test_best_keeps_the_positions_of_candidates_in_any_order() -> None:
    scores: Scores = np.array([[0.1, 0.9, 0.5]], dtype=np.float32)
    positions: Positions = np.array([[7, 3, 12]])
    top, found = best(scores, positions, 2)
    assert found.tolist() == [[3, 12]]
    np.testing.assert_array_equal(top, np.array([[0.9, 0.5]], dtype=np.float32))
