from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from indexes.base import Metric, Vectors
from indexes.errors import UnknownRowError
from indexes.growable import GrowableArray
from indexes.rows import NEVER, Rows, VisibleAt

Clustered = Callable[[int, int, int], Vectors]


def table(vectors: Vectors, first_id: int = 1, version: int = 1, metric: Metric = "cosine") -> Rows:
    rows = Rows(vectors.shape[1], metric, capacity=2)
    rows.append(np.arange(first_id, first_id + len(vectors)), np.arange(len(vectors)), vectors, version)
    return rows


def alive(rows: Rows, version: int) -> list[int]:
    visible = rows.visible(rows.size, version)
    return rows.ids()[visible.mask(0, rows.size)].tolist()


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_rows_that_find_no_room_leave_every_column_as_it_was(
    clustered: Clustered, monkeypatch: pytest.MonkeyPatch, metric: Metric
) -> None:
    vectors, grow = clustered(6, 8, 0), GrowableArray.reserve
    rows = table(vectors[:2], metric=metric)

    def grow_unless_wide(column: GrowableArray[Any], count: int) -> None:
        if column.view().ndim > 1:
            raise MemoryError
        grow(column, count)

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(GrowableArray, "reserve", grow_unless_wide)
        rows.append(np.array([3, 4]), np.array([2, 3]), vectors[2:4], version=2)
    rows.append(np.array([5, 6]), np.array([4, 5]), vectors[4:], version=3)
    assert rows.ids().tolist() == [1, 2, 5, 6]
    np.testing.assert_array_equal(rows.vectors(), vectors[[0, 1, 4, 5]])
    rows.kill([5], 4)
    assert alive(rows, 4) == [1, 2, 6]


def test_a_row_is_visible_from_its_birth_until_before_its_death(clustered: Clustered) -> None:
    vectors = clustered(3, 8, 0)
    rows = table(vectors[:2], version=5)
    rows.append(np.array([3]), np.array([2]), vectors[2:], version=6)
    rows.kill([1], version=7)
    assert [alive(rows, version) for version in (4, 5, 6, 7)] == [[], [1, 2], [1, 2, 3], [2, 3]]


def test_the_filter_goes_by_the_rows_document() -> None:
    born, died = np.array([1, 1, 1, 9]), np.full(4, NEVER)
    visible = VisibleAt(born, died, np.array([0, 1, 1, 1]), version=1, kept=np.array([False, True]))
    assert visible.mask(0, 4).tolist() == [False, True, True, False]
    assert visible.mask(1, 3).tolist() == [True, True]
    assert visible.at(np.arange(4)).tolist() == visible.mask(0, 4).tolist()
    assert visible.alive(np.arange(4)).tolist() == [True, True, True, False]


def test_position_minus_one_is_never_visible() -> None:
    visible = VisibleAt(np.array([1]), np.array([NEVER]), np.array([0]), version=1)
    assert visible.at(np.array([[-1, 0]])).tolist() == [[False, True]]


def test_killing_ids_that_are_not_here_changes_nothing(clustered: Clustered) -> None:
    rows = table(clustered(4, 8, 0), first_id=10)
    rows.kill([1, 9, 14, 9999], version=2)
    assert (rows.live, rows.dead) == (4, 0)
    rows.kill([9, 12, 17], version=3)
    assert (rows.live, rows.dead, alive(rows, 3)) == (3, 1, [10, 11, 13])
    Rows(8, "cosine").kill([1], version=1)


def test_live_rows_before_a_position_are_those_that_a_look_at_every_row_counts(clustered: Clustered) -> None:
    rng = np.random.default_rng(7)
    rows = Rows(8, "cosine")
    rows.append_dead(np.arange(1, 101))
    revived = rng.choice(np.arange(1, 101), 60, replace=False)
    rows.revive(np.sort(revived), np.zeros(60, dtype=np.int64), clustered(60, 8, 0))
    for version in range(1, 20):
        first = rows.last_id + 1
        rows.append(np.arange(first, first + 30), np.zeros(30, dtype=np.int64), clustered(30, 8, version), version)
        rows.kill(rng.choice(rows.last_id + 10, 25, replace=False).tolist(), version)
        alive = rows.visible(rows.size, version).mask(0, rows.size)
        for stop in (0, 1, 50, 100, rows.size - 1, rows.size):
            assert rows.live_before(stop) == np.count_nonzero(alive[:stop])


def test_counting_live_rows_looks_at_those_behind_only(clustered: Clustered, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = table(clustered(1000, 8, 0))
    count_nonzero, looked_at = np.count_nonzero, []

    def counting(mask: np.ndarray) -> int:
        looked_at.append(mask.size)
        return int(count_nonzero(mask))

    monkeypatch.setattr(np, "count_nonzero", counting)
    assert rows.live_before(990) == 990
    assert looked_at == [10]


def test_a_row_dies_once(clustered: Clustered) -> None:
    rows = table(clustered(2, 8, 0))
    rows.kill([1], version=4)
    rows.kill([1], version=9)
    assert rows.dead == 1
    assert alive(rows, 5) == [2]


def test_a_view_taken_earlier_keeps_its_answer(clustered: Clustered) -> None:
    vectors = clustered(200, 8, 0)
    rows = table(vectors[:2])
    size, held = rows.size, rows.vectors()
    rows.append(np.arange(3, 201), np.arange(2, 200), vectors[2:], version=2)
    assert rows.visible(size, 1).mask(0, size).tolist() == [True, True]
    np.testing.assert_array_equal(held, vectors[:2])
    assert alive(rows, 1) == [1, 2]


def test_rows_that_an_index_knows_and_the_store_has_not_are_dead(clustered: Clustered) -> None:
    vectors = clustered(3, 8, 0)
    rows = Rows(8, "l2")
    rows.append_dead(np.array([4, 6, 9]))
    assert (rows.size, rows.live, alive(rows, 0)) == (3, 0, [])
    rows.revive(np.array([4, 9]), np.array([0, 1]), vectors[:2])
    assert (rows.live, alive(rows, 0), rows.last_id) == (2, [4, 9], 9)
    np.testing.assert_array_equal(rows.vectors()[[0, 2]], vectors[:2])
    norms = rows.exact(3).norms
    assert norms is not None
    np.testing.assert_allclose(norms, [1, 0, 1], atol=1e-6)


@pytest.mark.parametrize("missing", [1, 5, 10])
def test_a_row_that_the_index_does_not_know_is_an_error_that_names_it(missing: int) -> None:
    rows = Rows(2, "cosine")
    rows.append_dead(np.array([4, 6, 9]))
    with pytest.raises(UnknownRowError, match=f"row {missing} "):
        rows.revive(np.array([missing]), np.array([0]), np.zeros((1, 2), dtype=np.float32))


def test_norms_are_kept_for_l2_only(clustered: Clustered) -> None:
    vectors = 3 * clustered(5, 8, 0)
    assert table(vectors, metric="ip").exact(5).norms is None
    norms = table(vectors, metric="l2").exact(5).norms
    assert norms is not None
    np.testing.assert_allclose(norms, 3, rtol=1e-5)
