"""The index that Milvus is asked to build over the vectors of a collection; named by a setting, never probed."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, TypeAlias, get_args

from indexes.base import Metric, SearchParams

IndexType: TypeAlias = Literal["FLAT", "IVF_FLAT", "HNSW", "GPU_IVF_PQ", "GPU_CAGRA"]
INDEX_TYPES: tuple[IndexType, ...] = get_args(IndexType)

# What one search can be given: 16,384 by Milvus, 1,024 by the kernels of its GPU indexes.
MOST_FOUND, MOST_FOUND_ON_GPU = 16_384, 1_024

_HNSW = {"M": 16, "efConstruction": 200}
_CAGRA = {"intermediate_graph_degree": 64, "graph_degree": 32}
_LEAST_EF, _LEAST_ITOPK, _SEARCH_WIDTH = 64, 64, 4
_REFINE_RATIO = 4


@dataclass(frozen=True, slots=True)
class MilvusIndex:
    """An index type and its size.

    Attributes:
        nlist: inverted lists, of the types that have them.
        nprobe: lists visited where a search does not say.
        refine: candidates for each hit wanted where a search does not say; they are rescored exactly.
    """

    type: IndexType = "HNSW"
    nlist: int = 1024
    nprobe: int = 64
    refine: int = 2

    @property
    def most(self) -> int:
        """Rows that one search can be given."""
        return MOST_FOUND_ON_GPU if self.type.startswith("GPU_") else MOST_FOUND

    def metric(self, metric: Metric) -> str:
        """Milvus' name of it. Vectors are of unit length where cosines are wanted, so their product is the cosine."""
        return "L2" if metric == "l2" else "IP"

    def built_with(self, dimension: int) -> dict[str, Any]:
        """Parameters of its construction."""
        match self.type:
            case "FLAT":
                return {}
            case "IVF_FLAT":
                return {"nlist": self.nlist}
            case "HNSW":
                return dict(_HNSW)
            case "GPU_IVF_PQ":
                codes = next(codes for codes in range(ceil(dimension / 8), dimension + 1) if dimension % codes == 0)
                return {"nlist": self.nlist, "m": codes, "nbits": 8, "cache_dataset_on_device": "true"}
        return {**_CAGRA, "cache_dataset_on_device": "true"}

    def candidates(self, params: SearchParams) -> int:
        """How many to ask for at first: an exact index gives the right ones."""
        refine = 1 if self.type == "FLAT" else params.refine or self.refine
        return min(self.most, params.top_k * refine)

    def searched_with(self, limit: int, params: SearchParams) -> Mapping[str, Any]:
        """Parameters of one search."""
        nprobe = min(self.nlist, params.nprobe or self.nprobe)
        match self.type:
            case "FLAT":
                return {}
            case "IVF_FLAT":
                return {"nprobe": nprobe}
            case "HNSW":
                return {"ef": max(_LEAST_EF, limit)}
            case "GPU_IVF_PQ":
                return {"nprobe": nprobe, "refine_ratio": _REFINE_RATIO}
        # At least as many as are wanted, a power of two; Milvus gives 32 for each entry point, or all of these.
        itopk = 1 << (max(limit, _LEAST_ITOPK) - 1).bit_length()
        return {"itopk_size": itopk, "search_width": _SEARCH_WIDTH}
