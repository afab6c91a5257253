"""The work that a search cannot do without: one call of FAISS, and the exact scores of what it found."""

from dataclasses import dataclass

import faiss
import numpy as np

from indexes.base import Positions, Vectors


@dataclass(frozen=True, slots=True)
class FaissAlone:
    """An index that FAISS searches without deletes, filters, versions, ids or texts.

    Attributes:
        index: of FAISS.
        vectors: ``(n, dimension)`` by position.
        refine: candidates rescored for each result.
    """

    index: faiss.Index
    vectors: Vectors
    nprobe: int
    refine: int

    def search(self, query: Vectors, top_k: int) -> Positions:
        """The best ``top_k`` positions for a ``(dimension,)`` query."""
        count = min(top_k * self.refine, self.index.ntotal)
        _, positions = self.index.search(query[None], count, params=self._params())
        found = positions[0][positions[0] >= 0]
        scores = self.vectors[found] @ query
        best: Positions = found[np.argsort(-scores)[:top_k]]
        return best

    def _params(self) -> faiss.SearchParameters:
        lists = faiss.SearchParametersIVF()
        lists.nprobe = self.nprobe
        if not isinstance(self.index, faiss.IndexPreTransform):
            return lists
        rotated = faiss.SearchParametersPreTransform()
        rotated.index_params = lists
        return rotated

    @property
    def bytes_per_vector(self) -> float:
        """Codes, ids, centroids and code books as FAISS writes them, without the exact vectors."""
        return float(faiss.serialize_index(self.index).nbytes / self.index.ntotal)
