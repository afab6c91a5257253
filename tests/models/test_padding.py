import math
from itertools import pairwise

import numpy as np
import pytest

from models.padding import largest_shapes, length_groups, pad


def test_rows_are_padded_behind_or_before_with_a_mask() -> None:
    ids, mask = pad([[5, 6, 7], [8]], 1)
    np.testing.assert_array_equal(ids, [[5, 6, 7], [8, 1, 1]])
    np.testing.assert_array_equal(mask, [[1, 1, 1], [1, 0, 0]])
    ids, mask = pad([[5, 6, 7], [8]], 1, "left")
    np.testing.assert_array_equal(ids, [[5, 6, 7], [1, 1, 8]])
    np.testing.assert_array_equal(mask, [[1, 1, 1], [0, 0, 1]])


def test_a_length_may_be_asked_for_beyond_the_longest() -> None:
    ids, mask = pad([[5, 6]], 0, length=4)
    np.testing.assert_array_equal(ids, [[5, 6, 0, 0]])
    np.testing.assert_array_equal(mask, [[1, 1, 0, 0]])
    assert pad([[5, 6]], 0, length=1)[0].shape == (1, 2)


def cost(lengths: list[int], groups: list[np.ndarray], fixed: float) -> float:
    return sum(fixed + len(group) * max(lengths[row] for row in group) for group in groups)


def cheapest(lengths: list[int], fixed: float) -> float:
    """By trying every cut of the sorted rows."""
    tokens = sorted(lengths, reverse=True)
    best = math.inf
    for cuts in range(1 << (len(tokens) - 1)):
        places = [0, *(i + 1 for i in range(len(tokens) - 1) if cuts >> i & 1), len(tokens)]
        best = min(best, sum(fixed + (end - start) * tokens[start] for start, end in pairwise(places)))
    return best


@pytest.mark.parametrize("fixed", [0, 1, 7, 40, 1000])
def test_groups_are_the_cheapest_of_all_cuts(fixed: float) -> None:
    print("seed 11")  # noqa: T201
    random = np.random.default_rng(11)
    for _ in range(40):
        lengths = random.integers(1, 60, random.integers(1, 11)).tolist()
        assert cost(lengths, length_groups(lengths, fixed), fixed) == pytest.approx(cheapest(lengths, fixed))


def test_every_row_is_in_one_group_and_the_longest_comes_first() -> None:
    print("seed 3")  # noqa: T201
    lengths = np.random.default_rng(3).integers(1, 257, 500).tolist()
    groups = length_groups(lengths, 30)
    assert sorted(np.concatenate(groups).tolist()) == list(range(500))
    ordered = [lengths[row] for group in groups for row in group]
    assert ordered == sorted(lengths, reverse=True)


@pytest.mark.parametrize("fixed", [0, 16, 64, 512])
@pytest.mark.parametrize("low", [1, 3, 100])
def test_computed_tokens_are_bounded_by_the_true_ones(fixed: float, low: int) -> None:
    print("seed 4")  # noqa: T201
    lengths = np.random.default_rng(4).integers(low, 513, 400).tolist()
    computed = cost(lengths, length_groups(lengths, fixed), 0)
    cuts = 1 + math.log(max(lengths) / min(lengths)) / math.log(4 / 3)
    assert computed <= 4 / 3 * sum(lengths) + fixed * cuts


def test_no_rows_make_no_groups_and_equal_rows_one() -> None:
    assert length_groups([], 10) == []
    assert [group.tolist() for group in length_groups([7, 7, 7], 0)] == [[0, 1, 2]]


def test_the_largest_shapes_are_many_short_rows_and_few_long_ones_with_their_padding() -> None:
    assert largest_shapes(96, 32) == [(16, 8), (4, 32)]
    assert largest_shapes(5, 32) == [(2, 5)]
    assert all(rows * length >= 4 / 3 * 1000 for rows, length in largest_shapes(1000, 384))
