from collections.abc import Callable

import numpy as np
import pytest

from indexes.base import SearchParams, Vectors
from indexes.flat import FlatIndex
from indexes.ivf_pq import IvfPqIndex
from indexes.segment import NEVER, Segment, VisibleAt

Clustered = Callable[[int, int, int], Vectors]

ALL = SearchParams(top_k=1000, nprobe=1000, refine=1)


def rows_at(segment: Segment, version: int, query: Vectors) -> set[int]:
    _, rows = segment.search(query, version, ALL)
    return set(rows.tolist())


def growing(vectors: Vectors, first_id: int = 1, version: int = 1) -> Segment:
    segment = Segment.growing(vectors.shape[1])
    segment.append(np.arange(first_id, first_id + len(vectors)), vectors, version)
    return segment


def test_a_row_is_visible_from_its_birth_until_before_its_death(clustered: Clustered) -> None:
    vectors = clustered(3, 8, 0)
    segment = growing(vectors[:2], version=5)
    segment.append(np.array([3]), vectors[2:], version=6)
    segment.kill([1], version=7)
    assert rows_at(segment, 4, vectors[0]) == set()
    assert rows_at(segment, 5, vectors[0]) == {1, 2}
    assert rows_at(segment, 6, vectors[0]) == {1, 2, 3}
    assert rows_at(segment, 7, vectors[0]) == {2, 3}


def test_visibility_by_mask_and_by_position_agree() -> None:
    visible = VisibleAt(np.array([1, 2, 3, 1]), np.array([NEVER, 4, NEVER, 2]), version=2)
    assert visible.mask().tolist() == [True, True, False, False]
    assert visible.at(np.arange(4)).tolist() == visible.mask().tolist()


def test_positions_outside_the_segment_are_never_visible() -> None:
    visible = VisibleAt(np.array([1]), np.array([NEVER]), version=1)
    assert visible.at(np.array([[-1, 0, 1, 99]])).tolist() == [[False, True, False, False]]


def test_killing_ids_of_other_segments_changes_nothing(clustered: Clustered) -> None:
    vectors = clustered(4, 8, 0)
    segment = Segment.growing(8)
    segment.append(np.array([10, 12, 14, 16]), vectors, version=1)
    segment.kill([1, 11, 13, 15, 17, 9999], version=2)
    assert segment.live_rows() == 4
    segment.kill([9, 12, 17], version=3)
    assert rows_at(segment, 3, vectors[0]) == {10, 14, 16}


def test_killing_in_an_empty_segment_changes_nothing() -> None:
    segment = Segment.growing(8)
    segment.kill([1, 2], version=1)
    assert segment.rows == segment.live_rows() == 0


def test_sealing_keeps_the_live_rows_only(clustered: Clustered) -> None:
    vectors = clustered(400, 16, 1)
    segment = growing(vectors)
    segment.kill(range(1, 101), version=2)
    sealed, kept = segment.sealed()
    assert isinstance(sealed.index, IvfPqIndex)
    assert sealed.rows == sealed.live_rows() == 300
    np.testing.assert_array_equal(kept, np.arange(100, 400))
    assert rows_at(sealed, 2, vectors[0]) == set(range(101, 401))


def test_sealed_rows_keep_the_version_they_were_born_at(clustered: Clustered) -> None:
    vectors = clustered(300, 16, 1)
    segment = growing(vectors[:290], version=1)
    segment.append(np.arange(291, 301), vectors[290:], version=9)
    sealed, _ = segment.sealed()
    assert rows_at(sealed, 8, vectors[0]) == set(range(1, 291))
    assert rows_at(sealed, 9, vectors[0]) == set(range(1, 301))


def test_sealed_and_growing_give_equal_scores_for_equal_rows(clustered: Clustered) -> None:
    vectors = clustered(300, 16, 3)
    segment = growing(vectors)
    sealed, _ = segment.sealed()
    exact_scores, exact_rows = segment.search(vectors[7], 1, ALL)
    scores, rows = sealed.search(vectors[7], 1, ALL)
    np.testing.assert_array_equal(rows, exact_rows)
    np.testing.assert_allclose(scores, exact_scores, atol=1e-6)


def test_deaths_during_a_build_reach_the_sealed_copy(clustered: Clustered) -> None:
    vectors = clustered(400, 16, 2)
    segment = growing(vectors)
    segment.kill(range(1, 51), version=2)
    sealed, kept = segment.sealed()
    segment.kill([60, 400], version=3)
    sealed.take_deaths(segment, kept)
    assert rows_at(sealed, 3, vectors[0]) == set(range(51, 400)) - {60}
    assert rows_at(sealed, 2, vectors[0]) == set(range(51, 401))


def test_a_full_segment_with_too_few_live_rows_is_sealed_as_an_exact_one(clustered: Clustered) -> None:
    vectors = clustered(300, 16, 2)
    segment = growing(vectors)
    segment.kill(range(1, 200), version=2)
    sealed, _ = segment.sealed()
    assert isinstance(sealed.index, FlatIndex)
    assert rows_at(sealed, 2, vectors[0]) == set(range(200, 301))
    assert not sealed.is_sealable


def test_a_segment_without_live_rows_seals_to_nothing(clustered: Clustered) -> None:
    vectors = clustered(300, 16, 2)
    segment = growing(vectors)
    segment.kill(range(1, 301), version=2)
    sealed, _ = segment.sealed()
    assert sealed.rows == 0
    assert rows_at(sealed, 2, vectors[0]) == set()


def test_rows_cannot_be_added_to_a_sealed_segment(clustered: Clustered) -> None:
    sealed, _ = growing(clustered(256, 16, 2)).sealed()
    with pytest.raises(TypeError, match="growing segment only"):
        sealed.append(np.array([999]), clustered(1, 16, 0), version=2)


def test_only_a_growing_segment_with_enough_rows_is_sealable(clustered: Clustered) -> None:
    vectors = clustered(256, 16, 2)
    assert not growing(vectors[:255]).is_sealable
    segment = growing(vectors)
    assert segment.is_sealable
    assert not segment.sealed()[0].is_sealable


def test_describe_counts_dead_rows_apart(clustered: Clustered) -> None:
    segment = growing(clustered(5, 8, 0))
    segment.kill([2], version=2)
    described = segment.describe()
    assert (described["rows"], described["live_rows"], described["index"]) == (5, 4, "flat")
