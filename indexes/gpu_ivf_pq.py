"""IVF-PQ on a card: a copy of an index that was built on the host, which proposes the same candidates.

It is built on the host because lists on a card grow like std::vector, to twice what they hold; a copy takes what is
held. No GPU index of FAISS may be searched by two threads at once, not even for reading.
"""

import threading
from typing import TYPE_CHECKING, Any, overload

import faiss
import numpy as np

from indexes.base import Positions, Scores, Vectors
from indexes.gpu_plan import GpuPlan
from indexes.ivf_pq import IvfPqIndex

if TYPE_CHECKING:
    from indexes.card_vectors import Tensor

_faiss: Any = faiss  # the stubs are those of the CPU build


class GpuIvfPqIndex:
    """An immutable copy of ``index`` on a card. May be called from any thread; searches are made one by one.

    Args:
        plan: kernels, layout and temporary memory; see ``plan_card``.
        device: such as ``cuda:0``.

    Raises:
        RuntimeError: FAISS could not allocate it, or refuses the shape.
    """

    def __init__(self, index: IvfPqIndex, plan: GpuPlan, device: str) -> None:
        self.plan = plan
        self._facts = index.facts
        self._searching = threading.Lock()
        rotation = index.rotation
        self._rotation = None if rotation is None else np.ascontiguousarray(rotation.T)
        self._rotation_on_card: Tensor | None = None
        self._device = device
        self._resources = _faiss.StandardGpuResources()
        self._resources.setTempMemory(plan.temp_bytes)
        self._index = _faiss.GpuIndexIVFPQ(self._resources, index.on_host(), gpu_config(plan, card_of(device)))

    @property
    def size(self) -> int:
        """Rows held."""
        return self._facts.rows

    @overload
    def candidates(self, queries: Vectors, count: int, nprobe: int) -> tuple[Scores, Positions]: ...
    @overload
    def candidates(self, queries: "Tensor", count: int, nprobe: int) -> "tuple[Tensor, Tensor]": ...
    def candidates(
        self, queries: "Vectors | Tensor", count: int, nprobe: int
    ) -> "tuple[Scores, Positions] | tuple[Tensor, Tensor]":
        """As ``IvfPqIndex.candidates``; ``count`` and ``nprobe`` are also cut to what the kernels take.

        Args:
            queries: ``(queries, dimension)``: an array, or a tensor on the card, which is never copied to the host.

        Returns:
            Arrays for an array, tensors on the card for a tensor.
        """
        visit = faiss.SearchParametersIVF()
        visit.nprobe = max(1, min(nprobe, self._facts.params.nlist, self.plan.most))
        wanted = max(1, min(count, self.size, self.plan.most))
        with self._searching:
            if isinstance(queries, np.ndarray):
                return self._searched(queries, wanted, visit)
            return self._searched_in_place(queries, wanted, visit)

    def _searched(self, queries: Vectors, wanted: int, visit: Any) -> tuple[Scores, Positions]:  # noqa: ANN401  FAISS's
        if self._rotation is not None:
            queries = queries @ self._rotation
        asked = np.ascontiguousarray(queries, dtype=np.float32)
        scores, positions = self._index.search(asked, wanted, params=visit)
        if self._facts.metric == "l2":
            scores = -scores
        return np.where(positions < 0, -np.inf, scores).astype(np.float32), positions

    def _searched_in_place(self, queries: "Tensor", wanted: int, visit: Any) -> "tuple[Tensor, Tensor]":  # noqa: ANN401
        from indexes.card_vectors import on_device, search_in_place  # noqa: PLC0415  brings torch

        if self._rotation is not None:
            if self._rotation_on_card is None:
                self._rotation_on_card = on_device(self._rotation, self._device)
            queries = queries.float() @ self._rotation_on_card
        scores, positions = search_in_place(self._index, self._resources, queries, wanted, visit)
        if self._facts.metric == "l2":
            scores.neg_()
        return scores.masked_fill_(positions < 0, float("-inf")), positions


def gpu_config(plan: GpuPlan, card: int) -> Any:  # noqa: ANN401  the stubs are those of the CPU build
    """``faiss.GpuIndexIVFPQConfig`` of a plan."""
    config = _faiss.GpuIndexIVFPQConfig()
    config.device = card
    config.use_cuvs = plan.backend == "cuvs"
    config.interleavedLayout = plan.interleaved
    config.useFloat16LookupTables = plan.float16_tables
    config.useMMCodeDistance = plan.matrix_tables
    # As on the host: nlist x m x 256 floats would be more than the codes take.
    config.usePrecomputedTables = False
    config.indicesOptions = _faiss.INDICES_64_BIT if plan.has_wide_ids else _faiss.INDICES_32_BIT
    return config


def card_of(device: str) -> int:
    """The number in ``cuda:0``."""
    return int(device.partition(":")[2])
