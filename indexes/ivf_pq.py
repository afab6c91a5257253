"""IVF-PQ with exact refine: FAISS finds candidates in compressed lists, we rescore them with the exact vectors.

FAISS never hears of deletes or filters: GPU indexes ignore its IDSelector without a word, so candidates are
over-fetched and masked here, in one place for every backend.
"""

from dataclasses import dataclass, replace

import faiss
import numpy as np

from indexes.base import Positions, Scores, SearchParams, Vectors, Visibility
from indexes.flat import best, exact_top_k

# 8-bit codes need this many training rows: one a centroid.
MIN_ROWS = 256
_BITS = 8
_MAX_POINTS_PER_LIST = 256
_MIN_POINTS_PER_LIST = 39  # FAISS's own bound (Clustering.h, min_points_per_centroid)


def search_on_one_thread() -> None:
    """Keep FAISS's searches on the calling thread; other threads, where indexes are built, go on using every core."""
    faiss.omp_set_num_threads(1)


@dataclass(frozen=True, slots=True)
class IvfPqParams:
    """Shape of the index and the defaults of its searches.

    Attributes:
        nlist: inverted lists.
        m: bytes a row's code takes; divides the dimension.
        nprobe: lists visited by a search that names no other number.
        refine: candidates rescored for each hit wanted, likewise.
    """

    nlist: int
    m: int
    nprobe: int
    refine: int = 10

    @classmethod
    def for_rows(cls, rows: int, dimension: int) -> "IvfPqParams":
        """About 4 sqrt(n) lists, each with enough training rows; an eighth of the dimension in bytes.

        A quarter of the lists is visited, 16 at the least: on small segments a probe costs next to nothing.
        """
        nlist = max(1, min(int(4 * rows**0.5), rows // _MIN_POINTS_PER_LIST))
        m = next(m for m in range(max(1, dimension // 8), 0, -1) if dimension % m == 0)
        return cls(nlist=nlist, m=m, nprobe=min(nlist, max(16, nlist // 4)))


class IvfPqIndex:
    """An immutable index over ``(n, dimension)`` vectors, built once with ``build``. Thread-safe on the CPU."""

    def __init__(self, index: faiss.IndexIVFPQ, vectors: Vectors, params: IvfPqParams) -> None:
        self._index = index
        self._vectors = vectors
        self.params = params

    @classmethod
    def build(cls, vectors: Vectors, params: IvfPqParams | None = None) -> "IvfPqIndex":
        """Train on the rows and add them.

        Args:
            vectors: ``(n, dimension)``, kept by reference for the refine step.
            params: None derives them from the shape.

        Raises:
            ValueError: fewer than ``MIN_ROWS`` rows.
        """
        rows, dimension = vectors.shape
        if rows < MIN_ROWS:
            raise ValueError(f"IVF-PQ needs at least {MIN_ROWS} rows to train on, not {rows}")
        params = params or IvfPqParams.for_rows(rows, dimension)
        quantizer = faiss.IndexFlatIP(dimension)
        index = faiss.IndexIVFPQ(quantizer, dimension, params.nlist, params.m, _BITS, faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 1
        index.pq.cp.min_points_per_centroid = 1
        sample = np.random.default_rng(0).permutation(rows)[: max(65_536, params.nlist * _MAX_POINTS_PER_LIST)]
        index.train(vectors[np.sort(sample)])
        index.add(vectors)
        return cls(index, vectors, params)

    @property
    def size(self) -> int:
        """Rows held."""
        return len(self._vectors)

    @property
    def vectors(self) -> Vectors:
        """``(size, dimension)``: the exact vectors."""
        return self._vectors

    def search(
        self, queries: Vectors, top_k: int, visible: Visibility, params: SearchParams
    ) -> tuple[Scores, Positions]:
        """Candidates from the lists, masked, rescored exactly.

        Where fewer candidates survive the mask than rows are visible, the query is answered by an exact masked scan:
        ``top_k`` results come back whenever ``top_k`` rows are visible.
        """
        used = self._params(params)
        wanted = min(top_k * used.refine, self.size)
        search = faiss.SearchParametersIVF()
        search.nprobe = min(used.nprobe, used.nlist)
        _, positions = self._index.search(queries, wanted, params=search)
        scores = self._refined(queries, positions, visible)
        found, kept = best(scores, positions, top_k)
        short = (kept < 0).any(axis=1)
        if short.any():
            mask = visible.mask()
            if (np.isfinite(found).sum(axis=1) < min(top_k, int(mask.sum()))).any():
                found[short], kept[short] = exact_top_k(self._vectors, queries[short], mask, top_k)
        return found, kept

    def describe(self) -> dict[str, object]:
        """Kind and parameters."""
        used = self.params
        return {"index": "ivf_pq", "nlist": used.nlist, "m": used.m, "nprobe": used.nprobe, "refine": used.refine}

    def _params(self, asked: SearchParams) -> IvfPqParams:
        return replace(
            self.params, nprobe=asked.nprobe or self.params.nprobe, refine=asked.refine or self.params.refine
        )

    def _refined(self, queries: Vectors, positions: Positions, visible: Visibility) -> Scores:
        """Exact inner products at ``positions``, -inf where a row is absent or not visible."""
        exact = np.matmul(self._vectors[positions], queries[:, :, None])[:, :, 0]
        return np.where(visible.at(positions), exact, -np.inf).astype(np.float32)
