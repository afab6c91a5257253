"""Where the best rows move a query to."""

import numpy as np
import pytest

from indexes.feedback import SHARE, fed_back

QUERY = np.array([3, 0, 0], dtype=np.float32)


def test_a_query_moves_by_the_share_of_the_mean_of_the_rows_whatever_their_lengths() -> None:
    moved = fed_back(QUERY, np.array([[0, 5, 0], [0, 0, 0.1]], dtype=np.float32))
    expected = np.array([1, SHARE / 2, SHARE / 2])
    assert moved == pytest.approx(expected / np.linalg.norm(expected))
    assert np.linalg.norm(moved) == pytest.approx(1)


def test_a_row_of_no_length_moves_nothing() -> None:
    assert fed_back(QUERY, np.zeros((1, 3), dtype=np.float32)) == pytest.approx([1, 0, 0])
    assert fed_back(np.zeros(3, dtype=np.float32), np.zeros((1, 3), dtype=np.float32)) == pytest.approx([0, 0, 0])
