"""IVF-PQ: an index of compressed rows that proposes candidates; whoever asks rescores them with the exact vectors.

FAISS never hears of deletes or filters: GPU indexes ignore its IDSelector without a word, so candidates are
over-fetched and masked by the caller, in one place for every backend.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from indexes import faiss_file, faiss_training
from indexes.base import Metric, Positions, Scores, Vectors
from indexes.faiss_layout import Shape
from indexes.faiss_training import MIN_ROWS
from indexes.ivf_pq_params import IvfPqParams

__all__ = ["MIN_ROWS", "IndexFacts", "IvfPqIndex", "IvfPqParams", "search_on_one_thread"]

# Of newer rows, to compare with as many at training: held_out leaves out no more.
_RESIDUAL_ROWS = 1000
# Rows added at once: bounds what a rotation or an assignment to lists copies.
_BLOCK_ROWS = 65_536


def search_on_one_thread() -> None:
    """Keep FAISS's searches on the calling thread; other threads, where indexes are built, go on using every core."""
    faiss.omp_set_num_threads(1)


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """What is known of an index beside its bytes; kept in the manifest of a snapshot.

    Attributes:
        rows: rows held.
        trained_rows: rows held when it was trained.
        trained_imbalance: ``IvfPqIndex.imbalance`` then.
        residual: mean squared error of the codes then, relative to the mean squared norm of the rows.
    """

    dimension: int
    metric: Metric
    rows: int
    trained_rows: int
    trained_imbalance: float
    residual: float
    params: IvfPqParams

    def to_json(self) -> dict[str, Any]:
        """Plain values; ``from_json`` reads them back."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "IndexFacts":
        """Inverse of ``to_json``.

        Raises:
            KeyError, TypeError: a value is missing or unknown.
        """
        return cls(**{**raw, "params": IvfPqParams(**raw["params"])})


class IvfPqIndex:
    """An immutable index over rows 0..n-1, from ``train``, ``extended`` or ``from_bytes``. Thread-safe on the CPU."""

    def __init__(self, index: faiss.Index, facts: IndexFacts) -> None:
        self._index = index
        self.facts = facts

    @classmethod
    def train(cls, vectors: Vectors, metric: Metric, params: IvfPqParams | None = None) -> "IvfPqIndex":
        """Train on the rows and add them, at positions 0..n-1. Uses every core of the calling thread's OpenMP.

        Args:
            vectors: ``(n, dimension)``, of unit norm for cosine. Not kept.
            params: None derives them from the shape.

        Raises:
            ValueError: fewer than ``MIN_ROWS`` rows.
        """
        rows, dimension = vectors.shape
        if rows < MIN_ROWS:
            raise ValueError(f"IVF-PQ needs at least {MIN_ROWS} rows to train on, not {rows}")
        params = params or IvfPqParams.for_rows(rows, dimension)
        index = faiss_training.trained(vectors, metric, params.nlist, params.m, params.rotated)
        index = _with_rows(index, vectors)
        imbalance = faiss_file.imbalance_of(index)
        residual = _residual(index, vectors[faiss_training.held_out(rows)])
        return cls(index, IndexFacts(dimension, metric, rows, rows, imbalance, residual, params))

    def extended(self, vectors: Vectors) -> "IvfPqIndex":
        """A new index with these rows at the next positions; this one can be searched meanwhile and stays as it is.

        Args:
            vectors: ``(n, dimension)``; compressed by the quantizers trained once, which are not changed.
        """
        index = _with_rows(faiss.clone_index(self._index), vectors)
        return IvfPqIndex(index, replace(self.facts, rows=self.size + len(vectors)))

    def tuned(self, nprobe: int, refine: int) -> "IvfPqIndex":
        """The same index with other defaults."""
        params = replace(self.params, nprobe=nprobe, refine=refine)
        return IvfPqIndex(self._index, replace(self.facts, params=params))

    def candidates(self, queries: Vectors, count: int, nprobe: int) -> tuple[Scores, Positions]:
        """Rows that are near each query as far as their codes tell.

        Args:
            queries: ``(queries, dimension)``.
            count: candidates wanted; at most ``size`` come.
            nprobe: lists visited; at most ``params.nlist`` are.

        Returns:
            ``(queries, min(count, size))`` approximate scores and positions, best first, padded with -inf and -1.
        """
        visit = faiss.SearchParametersIVF()
        visit.nprobe = max(1, min(nprobe, self.params.nlist))
        asked: faiss.SearchParameters = visit
        if self.params.rotated:
            asked = faiss.SearchParametersPreTransform()
            asked.index_params = visit
        wanted = max(1, min(count, self.size))
        scores, positions = self._index.search(queries, wanted, params=asked)
        if self.metric == "l2":
            scores = -scores
        return np.where(positions < 0, -np.inf, scores).astype(np.float32), positions

    def residual_of(self, vectors: Vectors) -> float:
        """Mean squared error of the codes of ``(n, dimension)`` vectors, relative to their mean squared norm.

        Of many vectors a thousand at most are looked at, evenly spread: the codes of all would be decoded in memory.
        """
        return _residual(self._index, vectors[:: max(1, -(-len(vectors) // _RESIDUAL_ROWS))])

    @property
    def rotation(self) -> Vectors | None:
        """``(dimension, dimension)``: what a vector is multiplied by, from the left, before all else; None for none."""
        if not self.params.rotated:
            return None
        return faiss_file.rotation_of(self._index)

    def on_host(self) -> faiss.IndexIVFPQ:
        """FAISS's own index behind any rotation, to be copied to a device; not to be changed."""
        return faiss_file.ivf_pq_of(self._index)

    def quantizers(self) -> tuple[Vectors, NDArray[np.float32]]:
        """``(nlist, dimension)`` centroids and ``(m, 256, dimension / m)`` codebooks, after any rotation."""
        ivf_pq = faiss_file.ivf_pq_of(self._index)
        centroids = ivf_pq.quantizer.reconstruct_n(0, ivf_pq.nlist)
        return centroids, faiss.vector_to_array(ivf_pq.pq.centroids).reshape(ivf_pq.pq.M, ivf_pq.pq.ksub, -1)

    def to_bytes(self) -> NDArray[np.uint8]:
        """FAISS's own format. It has no checksum: whoever keeps it adds one. ``facts`` belong beside it."""
        serialized: NDArray[np.uint8] = faiss.serialize_index(self._index)
        return serialized

    @classmethod
    def from_bytes(cls, buffer: faiss_file.Buffer, facts: IndexFacts) -> "IvfPqIndex":
        """Inverse of ``to_bytes``.

        Raises:
            IndexFileError: the bytes are not an index, or not the one of ``facts``; names what differs.
        """
        params = facts.params
        shape = Shape(facts.dimension, facts.metric, facts.rows, params.nlist, params.m, params.rotated)
        return cls(faiss_file.read(buffer, shape), facts)

    @property
    def params(self) -> IvfPqParams:
        """Shape and defaults."""
        return self.facts.params

    @property
    def metric(self) -> Metric:
        """What its scores are."""
        return self.facts.metric

    @property
    def dimension(self) -> int:
        """Of its vectors."""
        return self.facts.dimension

    @property
    def size(self) -> int:
        """Rows held."""
        return self.facts.rows

    @property
    def trained_rows(self) -> int:
        """Rows held when it was trained."""
        return self.facts.trained_rows

    @property
    def residual(self) -> float:
        """``residual_of`` rows that were not trained on, when it was trained."""
        return self.facts.residual

    @cached_property
    def imbalance(self) -> float:
        """How much longer a visited list is than if all had one length: 1 when they have; FAISS's imbalance factor."""
        return faiss_file.imbalance_of(self._index)

    @property
    def bytes_per_vector(self) -> float:
        """Codes, ids, centroids, codebooks and rotation, for each row held. Exact vectors are the caller's."""
        shared = faiss_training.shared_bytes(self.dimension, self.params.nlist, self.params.rotated)
        return self.params.m + faiss_training.ID_BYTES + shared / self.size


def _with_rows(index: faiss.Index, vectors: Vectors) -> faiss.Index:
    """``index`` with rows added, its lists without room to spare.

    Lists grow like std::vector, up to twice what they hold; a copy takes what is held and no more.
    """
    for start in range(0, len(vectors), _BLOCK_ROWS):
        index.add(np.ascontiguousarray(vectors[start : start + _BLOCK_ROWS], dtype=np.float32))
    return faiss.clone_index(index)


def _residual(index: faiss.Index, vectors: Vectors) -> float:
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    decoded = index.sa_decode(index.sa_encode(vectors))
    error = float(np.square(vectors - decoded).sum(dtype=np.float64))
    norms = float(np.square(vectors).sum(dtype=np.float64))
    return error / norms if norms > 0 else 0.0
