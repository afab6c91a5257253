"""How a FAISS IVF-PQ is trained: which rows, how many rounds, and what the result takes."""

import faiss
import numpy as np

from indexes.base import Metric, Positions, Vectors

# 8-bit codes need this many training rows: one a centroid.
MIN_ROWS = 256
ID_BYTES = 8
_BITS = 8
_CENTROIDS = 1 << _BITS

# Training rows for each list (30 to 256 are sensible; more cost time and hardly move the centroids), and for each
# centroid of the codes.
_POINTS_PER_LIST = 64
_POINTS_PER_CODE_CENTROID = 128
_ROUNDS = 10
_HELD_OUT = 1000

_ROTATION_POINTS = 20_000
_ROTATION_ROUNDS = 8


def faiss_metric(metric: Metric) -> int:
    """FAISS's number of a metric; cosine is the inner product of unit vectors."""
    return int(faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)


def held_out(rows: int) -> Positions:
    """Positions of rows that training leaves out while there are enough: a tenth of them, 1000 at most, 1 at least."""
    return np.sort(_order(rows)[: max(1, min(_HELD_OUT, rows // 10))])


def training_rows(rows: int, nlist: int) -> Positions:
    """Positions of the rows to train on: those not held out, but ``MIN_ROWS`` at the least."""
    wanted = max(_POINTS_PER_LIST * nlist, _POINTS_PER_CODE_CENTROID * _CENTROIDS)
    size = min(wanted, max(MIN_ROWS, rows - len(held_out(rows))))
    return np.sort(_order(rows)[-size:])


def trained(vectors: Vectors, metric: Metric, nlist: int, m: int, rotated: bool) -> faiss.Index:
    """An empty index with quantizers trained on a sample of ``(n, dimension)`` vectors."""
    dimension = vectors.shape[1]
    sample: Vectors = vectors[training_rows(len(vectors), nlist)]
    index: faiss.Index = _ivf_pq(dimension, metric, nlist, m)
    if rotated:
        index = faiss.IndexPreTransform(_rotation(sample, m), index)
    index.train(sample)
    return index


def shared_bytes(dimension: int, nlist: int, rotated: bool) -> int:
    """Bytes that do not grow with the rows: centroids of the lists, codebooks, rotation."""
    return 4 * dimension * (nlist + _CENTROIDS + (dimension if rotated else 0))


def _order(rows: int) -> Positions:
    """The same shuffle of the positions for the same number of rows."""
    order: Positions = np.random.default_rng(0).permutation(rows)
    return order


def _ivf_pq(dimension: int, metric: Metric, nlist: int, m: int) -> faiss.IndexIVFPQ:
    quantizer = faiss.IndexFlatL2(dimension) if metric == "l2" else faiss.IndexFlatIP(dimension)
    index = faiss.IndexIVFPQ(quantizer, dimension, nlist, m, _BITS, faiss_metric(metric))
    # FAISS would keep nlist x m x 256 floats to save a third of a search by l2: more than the rows' codes take.
    index.use_precomputed_table = -1
    for rounds in (index.cp, index.pq.cp):
        rounds.niter = _ROUNDS
        # The sample is cut to size here; FAISS warns of a small one on standard output.
        rounds.min_points_per_centroid = 1
    index.pq.cp.max_points_per_centroid = _POINTS_PER_CODE_CENTROID
    return index


def _rotation(sample: Vectors, m: int) -> faiss.OPQMatrix:
    """The rotation, trained, that spreads what a code loses evenly over its bytes."""
    dimension = sample.shape[1]
    rotation = faiss.OPQMatrix(dimension, m)
    rotation.niter = _ROTATION_ROUNDS
    rotation.niter_pq_0 = _ROUNDS
    rotation.max_train_points = _ROTATION_POINTS
    codes = faiss.ProductQuantizer(dimension, m, _BITS)
    codes.cp.min_points_per_centroid = 1
    rotation.pq = codes
    rotation.train(sample)
    rotation.pq = None  # a bare pointer, of use in training only
    return rotation
