"""Vectors in one byte for each component."""

import numpy as np
import pytest

from indexes.quantised import Quantised


def unit(rows: int, dimension: int, seed: int) -> np.ndarray:
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    vectors = np.random.default_rng(seed).normal(size=(rows, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("dimension", [16, 384, 1024])
def test_cosines_are_nearly_those_of_the_vectors(dimension: int) -> None:
    vectors, query = unit(2000, dimension, 5), unit(1, dimension, 6)[0]
    errors = Quantised.of(vectors).cosines(query) - vectors @ query
    assert np.abs(errors).max() < 0.006
    assert errors.std() < 0.0015


def test_no_component_moves_by_more_than_half_a_scale() -> None:
    vectors = unit(50, 64, 7)
    quantised = Quantised.of(vectors)
    moved = np.abs(quantised.codes * quantised.scales[:, None] - vectors)
    assert (moved <= quantised.scales[:, None] * 0.5001).all()
    assert np.abs(quantised.codes.astype(int)).max(axis=1).tolist() == [127] * 50


def test_lengths_do_not_matter() -> None:
    vectors, query = unit(3, 32, 8), unit(1, 32, 9)[0]
    assert Quantised.of(1000 * vectors).cosines(0.01 * query) == pytest.approx(Quantised.of(vectors).cosines(query))


def test_zeros_are_near_to_nothing() -> None:
    zeros = np.zeros((2, 8), dtype=np.float32)
    assert Quantised.of(zeros).cosines(np.ones(8, dtype=np.float32)).tolist() == [0.0, 0.0]
    assert Quantised.of(unit(2, 8, 1)).cosines(zeros[0]).tolist() == [0.0, 0.0]


def test_parts_are_joined_and_chosen_from() -> None:
    vectors, query = unit(9, 16, 10), unit(1, 16, 11)[0]
    whole = Quantised.of(vectors)
    joined = Quantised.joined([Quantised.of(vectors[:4]), Quantised.of(vectors[4:])], 16)
    assert joined.codes.tolist() == whole.codes.tolist()
    assert joined.some([8, 0, 0]).cosines(query) == pytest.approx(whole.cosines(query)[[8, 0, 0]], abs=1e-6)
    assert len(Quantised.joined([], 16)) == len(whole.some([])) == 0
