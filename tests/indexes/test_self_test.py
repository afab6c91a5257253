import numpy as np
import pytest

from indexes.base import Positions, Scores, Vectors
from indexes.errors import SelfTestError
from indexes.ivf_pq import IvfPqIndex
from indexes.self_test import self_test


class Broken:
    """Searches an index and damages what it found."""

    def __init__(self, index: IvfPqIndex, damage: str) -> None:
        self._index = index
        self._damage = damage

    def candidates(self, queries: Vectors, count: int, nprobe: int) -> tuple[Scores, Positions]:
        if self._damage == "nprobe ignored":
            nprobe = self._index.params.nlist
        scores, positions = self._index.candidates(queries, count, nprobe)
        if self._damage == "a score off" and self._index.metric == "l2":
            scores[3, 2] += 0.01
        if self._damage == "two rows swapped":
            positions[0, [0, 1]] = positions[0, [1, 0]]
        if self._damage == "too few":
            return scores[:, :-1], positions[:, :-1]
        if self._damage == "a row lost":
            scores[1, 4:] = np.append(scores[1, 5:], -np.inf)
            positions[1, 4:] = np.append(positions[1, 5:], -1)
        if self._damage == "not a number":
            scores[0, 0] = np.nan
        return scores, positions


def test_this_build_of_faiss_answers_as_numpy_does() -> None:
    self_test()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("a score off", "l2: the scores of 512 candidates in 8 lists are off by 0.01, more than 0.0001"),
        ("two rows swapped", "cosine: the positions of 512 candidates in 8 lists are off by"),
        ("too few", "cosine: the scores of 512 candidates in 8 lists have the wrong shape or number"),
        ("a row lost", "cosine: the scores of 512 candidates in 8 lists have the wrong shape or number"),
        ("nprobe ignored", "cosine: the scores of 20 candidates in 2 lists"),
        ("not a number", "are off by nan"),
    ],
)
def test_answers_that_differ_are_refused(damage: str, message: str) -> None:
    with pytest.raises(SelfTestError, match=message):
        self_test(lambda index: Broken(index, damage))


def test_a_wider_tolerance_takes_rougher_scores() -> None:
    self_test(lambda index: Broken(index, "a score off"), tolerance=0.02)
