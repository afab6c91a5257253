import numpy as np
import pytest

from indexes.faiss_training import MIN_ROWS, held_out, shared_bytes, training_rows


@pytest.mark.parametrize(("rows", "held"), [(256, 25), (5000, 500), (10_000, 1000), (200_000, 1000), (5, 1)])
def test_a_tenth_of_the_rows_is_held_out_and_a_thousand_at_most(rows: int, held: int) -> None:
    positions = held_out(rows)
    assert len(np.unique(positions)) == held
    assert positions.max() < rows


@pytest.mark.parametrize("rows", [300, 5000, 200_000])
def test_rows_held_out_are_not_trained_on(rows: int) -> None:
    assert not np.intersect1d(held_out(rows), training_rows(rows, 40)).size


@pytest.mark.parametrize("rows", [MIN_ROWS, 280])
def test_where_rows_are_few_training_comes_first(rows: int) -> None:
    assert len(np.unique(training_rows(rows, 4))) == MIN_ROWS


@pytest.mark.parametrize(("nlist", "points"), [(10, 32_768), (1788, 114_432)])
def test_training_takes_enough_rows_for_lists_and_codes_and_no_more(nlist: int, points: int) -> None:
    assert len(training_rows(200_000, nlist)) == points


def test_the_shared_part_counts_centroids_codebooks_and_the_rotation() -> None:
    assert shared_bytes(8, 5, rotated=False) == 4 * (5 * 8 + 256 * 8)
    assert shared_bytes(8, 5, rotated=True) == 4 * (5 * 8 + 256 * 8 + 8 * 8)
