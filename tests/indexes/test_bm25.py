import math
from itertools import pairwise

import numpy as np
import pytest

from indexes.bm25 import K1, LENGTHS, B, Corpus, idf, saturation, stored_length


def test_a_byte_says_lengths_exactly_up_to_forty_and_then_within_an_eighth() -> None:
    assert LENGTHS[:41].tolist() == list(range(41))
    assert LENGTHS[41:50].tolist() == [42, 44, 46, 48, 50, 52, 54, 56, 60]
    assert len(LENGTHS) == 256
    assert (np.diff(LENGTHS) > 0).all()
    assert (np.diff(LENGTHS)[24:] <= LENGTHS[24:-1] / 8).all()


@pytest.mark.parametrize(("length", "stored"), [(0, 0), (40, 40), (41, 40), (42, 42), (59, 56), (10**6, 983064)])
def test_a_length_is_stored_as_the_largest_that_is_not_above(length: int, stored: int) -> None:
    assert stored_length(np.array([length])).tolist() == [stored]


def test_idf_is_never_negative_and_falls_with_frequency() -> None:
    values = [idf(100, frequency) for frequency in range(101)]
    assert all(left > right for left, right in pairwise(values))
    assert values[-1] > 0
    assert idf(3, 1) == pytest.approx(math.log(1 + 2.5 / 1.5))


def test_saturation_is_the_formula() -> None:
    got = saturation(np.array([1, 2, 50]), np.array([10, 20, 10]), 20.0)
    expected = [c * (K1 + 1) / (c + K1 * (1 - B + B * n / 20)) for c, n in ((1, 10), (2, 20), (50, 10))]
    assert got == pytest.approx(expected)


def test_corpora_add_up() -> None:
    both = Corpus(2, 10) + Corpus(3, 30)
    assert both == Corpus(5, 40)
    assert both.mean_length == 8
    assert Corpus().mean_length == 0
