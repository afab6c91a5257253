"""Bytes of an index that are damaged, cut short or another index's."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from indexes.base import Vectors
from indexes.errors import IndexFileError
from indexes.ivf_pq import IndexFacts, IvfPqIndex, IvfPqParams

Clustered = Callable[[int, int, int], Vectors]
ROWS, DIMENSION = 500, 16


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small trainings wait for their threads more than they compute."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "rotated"])
def index(request: pytest.FixtureRequest) -> IvfPqIndex:
    vectors = np.random.default_rng(0).standard_normal((ROWS, DIMENSION), dtype=np.float32)
    return IvfPqIndex.train(vectors, "ip", IvfPqParams(4, 2, 4, rotated=request.param))


def refused(data: NDArray[np.uint8] | bytes, facts: IndexFacts) -> bool:
    try:
        IvfPqIndex.from_bytes(data, facts)
    except IndexFileError:
        return True
    return False


def test_what_was_written_reads_back(index: IvfPqIndex, clustered: Clustered) -> None:
    again = IvfPqIndex.from_bytes(index.to_bytes().tobytes(), IndexFacts.from_json(index.facts.to_json()))
    queries = clustered(9, DIMENSION, 1)
    for found, expected in zip(again.candidates(queries, 50, 2), index.candidates(queries, 50, 2), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert again.facts == index.facts
    assert again.imbalance == index.imbalance


def test_any_shorter_run_of_the_bytes_is_refused(index: IvfPqIndex) -> None:
    data = index.to_bytes()
    lengths = [*range(200), *range(200, len(data), 97), len(data) - 1]
    assert [length for length in lengths if not refused(data[:length], index.facts)] == []


def test_flipped_bits_are_refused_or_harmless(index: IvfPqIndex) -> None:
    rng = np.random.default_rng(2)
    queries = rng.standard_normal((5, DIMENSION), dtype=np.float32)
    flips = [(at, bit) for at in range(64) for bit in range(8)]
    for at, bit in [*flips, *zip(rng.integers(len(index.to_bytes()), size=80), rng.integers(8, size=80), strict=True)]:
        data = index.to_bytes()
        data[at] ^= 1 << bit
        if not refused(data, index.facts):
            _, positions = IvfPqIndex.from_bytes(data, index.facts).candidates(queries, ROWS, 4)
            assert -1 <= positions.min() <= positions.max() < ROWS, f"byte {at}"


def test_a_wrong_id_is_refused(index: IvfPqIndex) -> None:
    data = index.to_bytes()
    last = data[-8:].view(np.int64)
    last[0] = ROWS
    with pytest.raises(IndexFileError, match="ids in the lists are not the 500 positions"):
        IvfPqIndex.from_bytes(data, index.facts)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dimension": 32}, "dimension 16, not 32"),
        ({"metric": "l2"}, "metric 0, not 1"),
        ({"rows": ROWS + 1}, "rows 500, not 501"),
        ({"params": IvfPqParams(5, 2, 4)}, "lists 4, not 5"),
        ({"params": IvfPqParams(4, 4, 4)}, "bytes of a code 2, not 4"),
    ],
)
def test_another_index_is_refused_by_what_differs(index: IvfPqIndex, changed: dict[str, object], message: str) -> None:
    facts = replace(index.facts, **changed)  # type: ignore[arg-type]
    facts = replace(facts, params=replace(facts.params, rotated=index.params.rotated))
    with pytest.raises(IndexFileError, match=message):
        IvfPqIndex.from_bytes(index.to_bytes(), facts)


def test_a_list_without_a_centroid_or_the_reverse_is_refused(index: IvfPqIndex) -> None:
    wrong = faiss.deserialize_index(index.to_bytes())
    quantizer = faiss.downcast_index(faiss.extract_index_ivf(wrong)).quantizer
    quantizer.add(np.ones((1, DIMENSION), dtype=np.float32))
    with pytest.raises(IndexFileError, match="centroids 5, not 4"):
        IvfPqIndex.from_bytes(faiss.serialize_index(wrong), index.facts)


def test_a_rotation_that_is_missing_or_unasked_for_is_refused(index: IvfPqIndex) -> None:
    rotated = index.params.rotated
    facts = replace(index.facts, params=replace(index.params, rotated=not rotated))
    with pytest.raises(IndexFileError, match=f"rotated {rotated}, not {not rotated}"):
        IvfPqIndex.from_bytes(index.to_bytes(), facts)


def test_an_index_of_another_kind_is_refused(index: IvfPqIndex) -> None:
    flat = faiss.serialize_index(faiss.IndexFlatIP(DIMENSION))
    facts = replace(index.facts, params=replace(index.params, rotated=False))
    with pytest.raises(IndexFileError):
        IvfPqIndex.from_bytes(flat, facts)


def test_a_length_that_the_bytes_cannot_hold_is_refused_before_it_is_allocated(index: IvfPqIndex) -> None:
    data = index.to_bytes().tobytes()
    floats = (4 * DIMENSION).to_bytes(8, "little")  # of the centroids
    longer = data.replace(floats, (2**24).to_bytes(8, "little"), 1)
    assert longer != data
    with pytest.raises(IndexFileError, match="numbers of centroids 16777216, not 64"):
        IvfPqIndex.from_bytes(longer, index.facts)


def test_the_limits_of_the_process_are_left_as_they_were(index: IvfPqIndex) -> None:
    faiss.set_deserialization_loop_limit(123_456)
    faiss.set_deserialization_vector_byte_limit(2**39)
    IvfPqIndex.from_bytes(index.to_bytes(), index.facts)
    assert refused(b"", index.facts)
    assert faiss.get_deserialization_loop_limit() == 123_456
    assert faiss.get_deserialization_vector_byte_limit() == 2**39
