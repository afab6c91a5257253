"""Exact vectors on a card, and all else that this room does with torch.

Importing it brings torch: it is imported where an index is placed on a card, and nowhere else. FAISS's own
``contrib.torch_utils`` is not used: it replaces ``search`` of every index by one without search parameters, which the
index on the CPU needs.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias

import faiss
import numpy as np
import torch

from indexes.base import Mask, Metric, Positions, Vectors

Tensor: TypeAlias = torch.Tensor

# Vectors copied to the card at once, and scores held there at once: 64 and 256 MiB in single precision.
_COPIED_FLOATS, _SCORES = 16_777_216, 67_108_864
_faiss: Any = faiss  # the stubs are those of the CPU build


def free_bytes(device: str) -> int:
    """Memory that is free on the card."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


class Refine(Protocol):
    """Exact vectors that candidates are scored by, wherever they lie."""

    def scores_at(self, queries: Tensor, positions: Tensor) -> Tensor:
        """``(queries, k)`` scores of the rows at ``(queries, k)`` positions; -inf where the position is -1."""


class CardVectors:
    """The first rows of a table in the memory of a device, each copied there once. For one thread at a time.

    Args:
        capacity: rows there is room for; allocated at once, so that it never grows beyond what was planned.
        device: ``cuda:0``; ``cpu`` computes the same, slower.
        precision: of the vectors; scores are summed in single precision.
    """

    def __init__(
        self, capacity: int, dimension: int, metric: Metric, device: str, precision: Literal["float16", "float32"]
    ) -> None:
        dtype = torch.float16 if precision == "float16" else torch.float32
        self._vectors = torch.empty((capacity, dimension), dtype=dtype, device=device)
        squares = capacity if metric == "l2" else 0
        self._squares = torch.empty(squares, dtype=torch.float32, device=device)
        self.metric: Metric = metric
        self.device = device
        self.size = 0

    @property
    def capacity(self) -> int:
        """Rows there is room for."""
        return len(self._vectors)

    @property
    def bytes(self) -> int:
        """Memory taken."""
        return self._vectors.nbytes + self._squares.nbytes

    def follow(self, vectors: Vectors) -> bool:
        """Take those of ``(n, dimension)`` rows that are not here yet; False where there is no room for them."""
        if len(vectors) > self.capacity:
            return False
        step = max(1, _COPIED_FLOATS // vectors.shape[1])
        for start in range(self.size, len(vectors), step):
            part = vectors[start : start + step]
            self.extend(torch.tensor(part, device=self.device))
        return True

    def extend(self, part: Tensor) -> None:
        """Take ``(n, dimension)`` float32 rows that are on the device already."""
        stop = self.size + len(part)
        self._vectors[self.size : stop] = part
        if self.metric == "l2":
            self._squares[self.size : stop] = part.square().sum(1)
        self.size = stop

    def nearest(
        self, queries: Tensor, start: int, stop: int, top_k: int, mask: Mask | None = None
    ) -> tuple[Tensor, Tensor]:
        """An exact scan of rows ``start`` to ``stop``.

        Args:
            queries: ``(queries, dimension)`` on the device.
            mask: ``(stop - start,)``: rows that may be returned.

        Returns:
            ``(queries, at most top_k)`` scores and positions on the device, best first, padded with -inf and -1.
        """
        keep = None if mask is None else torch.tensor(mask, device=self.device)
        best = queries.new_empty((len(queries), 0)), torch.empty((len(queries), 0), dtype=torch.int64).to(self.device)
        step = max(1, _SCORES // max(1, len(queries)))
        for first in range(start, stop, step):
            last = min(stop, first + step)
            scores = self._scores(queries, first, last)
            if keep is not None:
                scores.masked_fill_(~keep[first - start : last - start], -torch.inf)
            found, positions = scores.topk(min(top_k, last - first), dim=1)
            found, positions = torch.cat((best[0], found), dim=1), torch.cat((best[1], positions + first), dim=1)
            found, order = found.topk(min(top_k, found.shape[1]), dim=1)
            best = found, positions.gather(1, order)
        return best[0], best[1].masked_fill(best[0].isneginf(), -1)

    def scores_at(self, queries: Tensor, positions: Tensor) -> Tensor:
        """As ``Refine`` has it: one gather, one product."""
        rows = self._vectors[positions.clamp(min=0)].float()
        return _scores_of(rows, queries, positions, self.metric)

    def _scores(self, queries: Tensor, first: int, last: int) -> Tensor:
        """``(queries, last - first)`` in single precision."""
        products = (queries.to(self._vectors.dtype) @ self._vectors[first:last].T).float()
        if self.metric != "l2":
            return products
        products.mul_(2).sub_(self._squares[first:last]).sub_(queries.float().square().sum(1)[:, None])
        return products


class HostVectors:
    """Exact vectors that stay on the host; those asked for are gathered into pinned memory and copied at once.

    For one thread at a time.

    Args:
        vectors: gives the ``(n, dimension)`` rows by position; asked each time, because a table that grows moves.
    """

    def __init__(self, vectors: Callable[[], Vectors], metric: Metric, device: str) -> None:
        self._vectors = vectors
        self._metric: Metric = metric
        self._device = device
        self._staging = torch.empty((0, 0), dtype=torch.float32)

    def scores_at(self, queries: Tensor, positions: Tensor) -> Tensor:
        """As ``Refine`` has it: one gather on the host, one copy, one product."""
        wanted: Positions = positions.clamp(min=0).flatten().cpu().numpy()
        vectors = self._vectors()
        staging = self._room_for(len(wanted), vectors.shape[1])
        np.take(vectors, wanted, axis=0, out=staging.numpy(), mode="clip")
        rows = staging.to(self._device, non_blocking=True).view(*positions.shape, -1)
        scores = _scores_of(rows, queries, positions, self._metric)
        if rows.is_cuda:
            torch.cuda.current_stream(
                rows.device
            ).synchronize()  # or the next call would overwrite what is being copied
        return scores

    def _room_for(self, rows: int, dimension: int) -> Tensor:
        if len(self._staging) < rows:
            pin = self._device != "cpu"
            self._staging = torch.empty((rows, dimension), dtype=torch.float32, pin_memory=pin)
        return self._staging[:rows]


def refined(queries: Tensor, positions: Tensor, vectors: Refine, top_k: int) -> tuple[Tensor, Tensor]:
    """The ``top_k`` best of ``(queries, candidates)`` positions by exact scores, best first."""
    scores, order = vectors.scores_at(queries, positions).topk(min(top_k, positions.shape[1]), dim=1)
    return scores, positions.gather(1, order).masked_fill(scores.isneginf(), -1)


def _scores_of(rows: Tensor, queries: Tensor, positions: Tensor, metric: Metric) -> Tensor:
    """``(queries, k)`` of ``(queries, k, dimension)`` rows, in single precision."""
    asked = queries.float()
    if metric == "l2":
        scores = (rows - asked[:, None]).square_().sum(2).neg_()
    else:
        scores = torch.bmm(rows, asked[:, :, None]).squeeze(2)
    return scores.masked_fill_(positions < 0, -torch.inf)


def on_device(array: Vectors, device: str) -> Tensor:
    """A copy of an array there."""
    return torch.tensor(array, device=device)


def search_in_place(index: Any, resources: Any, queries: Tensor, count: int, asked: Any) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """Search a GPU index of FAISS for tensors on its card, without a copy and in the order of torch's stream.

    Args:
        index: a ``faiss.GpuIndex``.
        resources: its ``StandardGpuResources``.
        queries: ``(queries, dimension)`` on that card.
        asked: FAISS's search parameters.

    Returns:
        ``(queries, count)`` distances and positions, as FAISS has them.
    """
    queries = queries.float().contiguous()
    distances = torch.empty((len(queries), count), dtype=torch.float32, device=queries.device)
    positions = torch.empty((len(queries), count), dtype=torch.int64, device=queries.device)
    card = index.getDevice()
    stream = torch.cuda.current_stream(queries.device)
    # FAISS has the stream it leaves waited for by the one it takes: what torch has queued comes first, and what it
    # queues next comes after.
    resources.setDefaultStream(card, _faiss.cast_integer_to_cudastream_t(stream.cuda_stream))
    try:
        index.search_c(
            len(queries),
            _faiss.cast_integer_to_float_ptr(queries.data_ptr()),
            count,
            _faiss.cast_integer_to_float_ptr(distances.data_ptr()),
            _faiss.cast_integer_to_idx_t_ptr(positions.data_ptr()),
            asked,
        )
    finally:
        resources.revertDefaultStream(card)
    return distances, positions
