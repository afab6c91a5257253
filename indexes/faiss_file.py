"""Reading FAISS's own format, which has no checksum and believes what it reads."""

import threading
from typing import Any, TypeAlias

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes.errors import IndexFileError
from indexes.faiss_layout import Shape, check_layout, expect
from indexes.faiss_training import faiss_metric

Buffer: TypeAlias = bytes | bytearray | memoryview | NDArray[np.uint8]

# FAISS's limits are the process's; two reads at once would undo each other's.
_READING = threading.Lock()
# A vector in the file is never longer than the file; FAISS compares whole elements, so a little more is allowed.
_SLACK_BYTES = 1024


def read(buffer: Buffer, shape: Shape) -> faiss.Index:
    """The index in ``buffer``, when it has this shape.

    FAISS is given nothing but what has our layout, and every id is checked: a wrong one would later be read as a
    position outside the rows.

    Raises:
        IndexFileError: not an index, or another one; names what differs.
    """
    data = np.frombuffer(buffer, dtype=np.uint8)
    check_layout(data, shape)
    try:
        index = _deserialized(data, shape)
        _check(index, shape)
        # What is left to find wrong, FAISS finds when it searches.
        index.search(np.zeros((1, shape.dimension), dtype=np.float32), 1)
    except RuntimeError as error:  # FAISS's only type of exception
        raise IndexFileError(f"the {len(data)} bytes of the index cannot be read: {error}") from error
    ivf_pq_of(index).use_precomputed_table = -1
    return index


def ivf_pq_of(index: faiss.Index) -> faiss.IndexIVFPQ:
    """The IVF-PQ inside, whether or not a rotation comes before it.

    Raises:
        IndexFileError: it is something else.
    """
    ivf_pq = faiss.downcast_index(faiss.extract_index_ivf(index))
    if type(ivf_pq) is not faiss.IndexIVFPQ:
        raise IndexFileError(f"the index is a {type(ivf_pq).__name__}, not an IndexIVFPQ")
    return ivf_pq


def rotation_of(index: faiss.Index) -> NDArray[np.float32]:
    """``(dimension, dimension)``: the matrix of a rotated index.

    Raises:
        IndexFileError: it is not rotated.
    """
    chain: Any = index.chain if isinstance(index, faiss.IndexPreTransform) else None  # a list, as the stubs have it
    rotation = None if chain is None else faiss.downcast_VectorTransform(chain.at(0))
    if not isinstance(rotation, faiss.LinearTransform):
        raise IndexFileError("the index is not rotated")
    matrix: NDArray[np.float32] = faiss.vector_to_array(rotation.A).reshape(rotation.d_out, rotation.d_in)
    return matrix


def imbalance_of(index: faiss.Index) -> float:
    """FAISS's imbalance factor of the lists: 1 when all have one length."""
    return float(_lists(ivf_pq_of(index)).imbalance_factor())


def _deserialized(data: NDArray[np.uint8], shape: Shape) -> faiss.Index:
    with _READING:
        limits = faiss.get_deserialization_loop_limit(), faiss.get_deserialization_vector_byte_limit()
        faiss.set_deserialization_loop_limit(max(shape.nlist, shape.rows, shape.dimension))
        faiss.set_deserialization_vector_byte_limit(len(data) + _SLACK_BYTES)
        try:
            return faiss.deserialize_index(data, faiss.IO_FLAG_SKIP_PRECOMPUTE_TABLE)
        finally:
            faiss.set_deserialization_loop_limit(limits[0])
            faiss.set_deserialization_vector_byte_limit(limits[1])


def _check(index: faiss.Index, shape: Shape) -> None:
    """Raises IndexFileError where ``index`` differs from ``shape``."""
    rotated = isinstance(index, faiss.IndexPreTransform)
    expect("rotated", rotated, shape.rotated)
    ivf_pq = ivf_pq_of(index)
    for part in (index, ivf_pq):
        expect("dimension", part.d, shape.dimension)
        expect("metric", part.metric_type, faiss_metric(shape.metric))
        expect("rows", part.ntotal, shape.rows)
    expect("lists", ivf_pq.nlist, shape.nlist)
    expect("centroids", ivf_pq.quantizer.ntotal, shape.nlist)
    expect("bytes of a code", ivf_pq.pq.M, shape.m)
    expect("bits of a code's byte", ivf_pq.pq.nbits, 8)
    _check_ids(ivf_pq, shape.rows)


def _check_ids(ivf_pq: faiss.IndexIVFPQ, rows: int) -> None:
    """Every position from 0 to rows-1 is in the lists exactly once."""
    lists = _lists(ivf_pq)
    ids = [faiss.rev_swig_ptr(lists.get_ids(i), lists.list_size(i)) for i in range(lists.nlist)]
    held = np.sort(np.concatenate([part.copy() for part in ids]))
    if not np.array_equal(held, np.arange(rows)):
        raise IndexFileError(f"the ids in the lists are not the {rows} positions from 0")


def _lists(ivf_pq: faiss.IndexIVFPQ) -> faiss.InvertedLists:
    lists = ivf_pq.invlists
    if lists is None:
        raise IndexFileError("the index has no lists")
    return lists
