"""Puts sealed indexes on a card, within a budget, after asking whether the card answers as the host does."""

import threading
import weakref

import numpy as np

from indexes.base import Mask, Metric, Positions, Scores, Vectors
from indexes.card_vectors import CardVectors, HostVectors, Refine, Tensor, free_bytes, on_device, refined
from indexes.errors import DeviceError, SelfTestError
from indexes.gpu_ivf_pq import GpuIvfPqIndex
from indexes.gpu_plan import Backend, CardShape, GpuPlan, Precision, plan_card
from indexes.gpu_probe import Capabilities, capabilities
from indexes.ivf_pq import IvfPqIndex
from indexes.placement import DeviceIndex, IndexMemory, Placement
from indexes.rows import Rows
from indexes.self_test import check_scan, self_test

# A scan of fewer visible rows takes the host less time than the card takes to start one: 1.6 MB at 384 dimensions.
LEAST_SCANNED = 1024
# Largest error of a score by the card's look-up tables, for unit vectors, in single and in half precision.
_TOLERANCE, _HALF_TOLERANCE = 1e-3, 2e-2


class CardIndex:
    """A sealed index on a card, with its exact vectors where the plan puts them. A ``DeviceIndex``."""

    def __init__(self, index: GpuIvfPqIndex, rows: Rows, vectors: CardVectors | None, device: str) -> None:
        self._index = index
        self._rows = rows
        self.vectors = vectors
        self._lock = threading.Lock()
        self._device = device
        refine: Refine = vectors or HostVectors(lambda: rows.vectors(index.size), rows.metric, device)
        self._refine = refine
        plan = index.plan
        home = f"{device}, {plan.precision}" if vectors else "host"
        self.placement = Placement(
            device, plan.backend, home, self.bytes, most_candidates=plan.most, most_lists=plan.most, why=plan.why
        )

    @property
    def bytes(self) -> int:
        """Memory taken on the card."""
        return self.own_memory.total + (self.vectors.bytes if self.vectors else 0)

    @property
    def own_memory(self) -> IndexMemory:
        """The same without the exact vectors, which it may share."""
        return IndexMemory(codes=self._index.plan.index_bytes, scratch=self._index.plan.temp_bytes)

    def is_over(self, rows: Rows) -> bool:
        """These are its rows, so that its exact vectors serve another index over them."""
        return self._rows is rows

    def candidates(self, queries: Vectors, count: int, nprobe: int) -> tuple[Scores, Positions]:
        """As ``DeviceIndex`` has it."""
        return self._index.candidates(queries, count, nprobe)

    def scan(self, vectors: Vectors, query: Vectors, start: int, mask: Mask, count: int) -> Positions | None:
        """As ``DeviceIndex`` has it."""
        if self.vectors is None or np.count_nonzero(mask) < LEAST_SCANNED:
            return None
        with self._lock:
            if not self.vectors.follow(vectors):
                return None
            asked = on_device(query[None], self._device)
            _, found = self.vectors.nearest(asked, start, start + len(mask), count, mask)
            positions: Positions = found[0].cpu().numpy()
        return positions[positions >= 0]

    def search(self, queries: Tensor, top_k: int, refine: int, nprobe: int) -> tuple[Tensor, Tensor]:
        """The ``top_k`` best sealed rows for each of ``(queries, dimension)`` on the card; nothing but them leaves it.

        For batches that nobody filters: whether a row is visible is decided on the host.

        Returns:
            ``(queries, top_k)`` exact scores and positions, best first.
        """
        _, positions = self._index.candidates(queries, top_k * refine, nprobe)
        with self._lock:
            return refined(queries, positions, self._refine, top_k)


class CardPlacer:
    """Places indexes on one card. A ``Place``.

    Args:
        device: such as ``cuda:0``.
        budget: bytes that all indexes together may take there; None lets each take half of what is free.
        able: what FAISS can do; fewer backends than it has leave the others out.
    """

    def __init__(self, device: str, budget: int | None = None, able: Capabilities | None = None) -> None:
        able = able or capabilities()
        if not able.gpus:
            raise DeviceError(f"{device} cannot be used: FAISS sees no GPU")
        self._device = device
        self._budget = budget
        self._backends = able.backends
        self._placed: weakref.WeakSet[CardIndex] = weakref.WeakSet()
        self._placing = threading.Lock()  # a set that grows must not be walked

    @property
    def bytes(self) -> int:
        """Memory that its indexes take on the card."""
        return self.memory().total

    def memory(self) -> IndexMemory:
        """What its indexes take on the card, vectors that two of them share counted once. From any thread."""
        with self._placing:
            placed = list(self._placed)
        vectors = {id(each.vectors): each.vectors.bytes for each in placed if each.vectors}
        own = sum((each.own_memory for each in placed), IndexMemory())
        return own + IndexMemory(vectors=sum(vectors.values()))

    def __call__(self, index: IvfPqIndex, rows: Rows, before: DeviceIndex | None) -> CardIndex:
        """``index`` over the first of ``rows`` on the card.

        Raises:
            DeviceError: no kernel searches it.
            InsufficientMemoryError: it does not fit.
        """
        vectors = before.vectors if isinstance(before, CardIndex) and before.is_over(rows) else None
        plan = self.plan(index, vectors)
        try:
            copied = GpuIvfPqIndex(index, plan, self._device)
            if plan.refine == "host":
                vectors = None
            elif vectors is None or vectors.capacity < index.size:
                vectors = CardVectors(plan.capacity, index.dimension, index.metric, self._device, plan.precision)
            if vectors is not None:
                vectors.follow(rows.vectors(index.size))
        except RuntimeError as error:  # FAISS's only type of exception, and torch's for memory
            raise DeviceError(f"{index.size} rows could not be put on {self._device}: {error}") from error
        placed = CardIndex(copied, rows, vectors, self._device)
        with self._placing:
            self._placed.add(placed)
        return placed

    def plan(self, index: IvfPqIndex, held: CardVectors | None = None) -> GpuPlan:
        """Where the index would go now; exact vectors that are ``held`` already take nothing more."""
        params = index.params
        shape = CardShape(index.size, index.dimension, params.nlist, params.m, index.metric, params.rotated)
        spare = held.bytes if held else 0
        left = None if self._budget is None else max(0, self._budget - self.bytes + spare)
        return plan_card(shape, free_bytes(self._device) + spare, left, self._backends)

    def check(self) -> None:
        """Search tiny indexes of every metric on the card and compare with NumPy.

        Raises:
            SelfTestError: an answer differs, or FAISS failed.
        """
        try:
            for backend in self._backends:
                self._check(backend)
        except RuntimeError as error:
            raise SelfTestError(f"{self._device} could not be searched: {error}") from error

    def _check(self, backend: Backend) -> None:
        alone = CardPlacer(self._device, able=Capabilities(1, (backend,)))

        def place(index: IvfPqIndex) -> GpuIvfPqIndex:
            return GpuIvfPqIndex(index, alone.plan(index), self._device)

        self_test(place, _TOLERANCE)
        check_scan(self._scanned, _HALF_TOLERANCE)

    def _scanned(self, rows: Vectors, queries: Vectors, metric: Metric, top_k: int) -> tuple[Scores, Positions]:
        """As ``check_scan`` asks for it, in the precision that the metric gets."""
        precision: Precision = "float16" if metric == "cosine" else "float32"
        vectors = CardVectors(len(rows), rows.shape[1], metric, self._device, precision)
        vectors.follow(rows)
        scores, positions = vectors.nearest(on_device(queries, self._device), 0, len(rows), top_k)
        return scores.cpu().numpy(), positions.cpu().numpy()
