from collections.abc import Callable, Iterator

import faiss
import numpy as np
import pytest

from indexes.base import Vectors
from indexes.curve import CurvePoint, RecallCurve, search_cost
from indexes.ivf_pq import IvfPqIndex, IvfPqParams
from indexes.tuning import is_better, may_gain_by_rotation, train_for

Clustered = Callable[[int, int, int], Vectors]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small trainings wait for their threads more than they compute."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


def curve(recall: float, cost: float, refine: int = 4, target: float = 0.9) -> RecallCurve:
    point = CurvePoint(8, refine, recall, cost)
    return RecallCurve((point,), point, target, 100)


@pytest.fixture
def skewed() -> Vectors:
    """Rows whose variance lies in few dimensions: plain codes spend most of their bytes on nothing."""
    rng = np.random.default_rng(1)
    return (rng.standard_normal((2000, 32)) * 0.7 ** np.arange(32)).astype(np.float32)


def test_plain_codes_that_are_good_enough_are_kept(clustered: Clustered) -> None:
    vectors = clustered(2000, 16, 2)
    index, measured = train_for(vectors, "cosine", 0.5)
    assert not index.params.rotated
    assert (index.params.nprobe, index.params.refine) == (measured.chosen.nprobe, measured.chosen.refine)
    assert measured.meets_target
    assert index.size == 2000


def test_a_rotation_is_kept_where_it_finds_more(skewed: Vectors) -> None:
    index, measured = train_for(skewed, "l2", 1.0)
    assert index.params.rotated
    assert index.residual < 0.8 * IvfPqIndex.train(skewed, "l2").residual
    assert index.params.refine == measured.chosen.refine


@pytest.mark.parametrize(
    ("one", "other", "better"),
    [
        (curve(0.95, 9.0), curve(0.85, 1.0), True),
        (curve(0.85, 1.0), curve(0.95, 9.0), False),
        (curve(0.95, 1.0), curve(0.99, 2.0), True),
        (curve(0.99, 2.0), curve(0.95, 2.0), False),
        (curve(0.85, 2.0), curve(0.80, 1.0), True),
        (curve(0.80, 1.0), curve(0.80, 2.0), False),
    ],
)
def test_the_target_comes_first_then_the_cost_then_the_recall(
    one: RecallCurve, other: RecallCurve, better: bool
) -> None:
    assert is_better(one, other) is better


def test_a_rotation_is_tried_only_where_it_may_gain(clustered: Clustered) -> None:
    index = IvfPqIndex.train(clustered(600, 16, 3), "cosine", IvfPqParams(8, 2, 8))
    bound = search_cost(index, 8, 1) + 4 * 16 * 16
    assert may_gain_by_rotation(index, curve(0.5, bound))
    assert may_gain_by_rotation(index, curve(0.95, 1.2 * bound, refine=12))
    assert not may_gain_by_rotation(index, curve(0.95, 1.2 * bound, refine=10))
    assert not may_gain_by_rotation(index, curve(0.95, 1.1 * bound, refine=12))
