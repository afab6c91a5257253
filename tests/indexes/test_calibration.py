"""The curve of an index that is in use, measured again."""

from collections.abc import Callable

import numpy as np
import pytest

from indexes.base import Vectors
from indexes.collection import Collection
from indexes.curve import measure_curve, query_rows
from indexes.errors import NothingSealedError
from indexes.ivf_pq import IvfPqIndex

Open = Callable[[], Collection]
Put = Callable[..., str]
Clustered = Callable[[int, int, int], Vectors]

DIMENSION = 16


def fill(collection: Collection, put: Put, vectors: Vectors) -> None:
    for i in range(len(vectors) // 8):
        put(collection, f"d{i}", list("abcdefgh"), vectors[8 * i : 8 * i + 8])


def test_nothing_is_calibrated_before_rows_are_sealed(open_collection: Open, put: Put, clustered: Clustered) -> None:
    collection = open_collection()
    fill(collection, put, clustered(80, DIMENSION, 1))
    with pytest.raises(NothingSealedError, match=r"0 rows are in the compressed index, .* takes 11"):
        collection.upkeep.calibrate()
    assert collection.working_on is None


def test_searches_follow_what_was_measured_and_a_restart_too(
    open_collection: Open, put: Put, clustered: Clustered
) -> None:
    collection = open_collection()
    fill(collection, put, clustered(400, DIMENSION, 1))
    collection.upkeep.step()
    view = collection._live.now
    assert view.sealed
    detuned = view.sealed.index.tuned(1, 1)
    collection._live.seal(type(view.sealed)(detuned, view.sealed.curve))
    curve = collection.upkeep.calibrate()
    for opened in (collection, open_collection()):
        sealed = opened._live.now.sealed
        assert sealed
        assert (sealed.index.params.nprobe, sealed.index.params.refine) == (curve.chosen.nprobe, curve.chosen.refine)
        assert sealed.curve == curve
    assert curve.chosen.recall > curve.points[0].recall


def test_rows_that_died_are_neither_asked_with_nor_found(clustered: Clustered) -> None:
    """Half of the rows are dead, with their vectors gone as after a restart: the curve is that of the other half."""
    vectors = clustered(600, DIMENSION, 2)
    index = IvfPqIndex.train(vectors, "cosine")
    live = np.zeros(600, dtype=bool)
    live[::2] = True
    gone = np.where(live[:, None], vectors, 0).astype(np.float32)
    curve = measure_curve(index, gone, 0.99, live=live)
    widest = max(curve.points, key=lambda point: (point.nprobe, point.refine))
    assert widest.recall == pytest.approx(1.0) or curve.meets_target
    assert 0 < curve.queries < len(query_rows(600))
    assert measure_curve(index, vectors, 0.99, live=live) == curve  # nor while memory still has them
    with pytest.raises(ValueError, match="1 live rows; the least are 2"):
        measure_curve(index, gone, 0.99, live=np.arange(600) == 5)
    few = np.zeros(600, dtype=bool)
    few[np.setdiff1d(np.arange(600), query_rows(600))[:13]] = True
    assert measure_curve(index, vectors, 0.99, live=few).queries == 13
