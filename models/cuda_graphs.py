"""CUDA graphs of a padded forward for a few short shapes: a replay is one call where a forward is hundreds.

A graph is captured once for each shape, over buffers that stay where they are; a batch is written into the smallest
shape it fits and the rest of that shape is padding. Capture and replay belong to the thread that runs the model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from models.base import Launched, TokenIds
from models.device import guarded
from models.launching import Launcher, Rectangle, landing, staged
from models.padding import pad

# A query is mostly under 64 tokens, and a batch of queries that waited for one forward mostly under 32.
LENGTHS = (16, 32, 64)
BATCHES = (1, 2, 4, 8, 16, 32)
# Kernels are chosen and workspaces allocated in the first runs of a shape, which a capture must not see.
_RUNS_BEFORE_CAPTURE = 3

Shape = tuple[int, int]
Replay = Callable[[], None]
Capture = Callable[[Callable[[], Tensor]], tuple[Replay, Tensor]]


@dataclass(slots=True)
class GraphCounts:
    """Launches since the start.

    Attributes:
        replays: by replay of a graph.
        others: outside of every graph.
        refused: why there are no graphs; empty where they were captured or have not been yet.
    """

    replays: int = 0
    others: int = 0
    refused: str = ""


@dataclass(frozen=True, slots=True)
class _Graph:
    """One captured shape: its inputs and output ``(batch, ...)``, and the call that computes one from the other."""

    ids: Tensor
    mask: Tensor
    output: Tensor
    replay: Replay


class GraphLauncher:
    """Replays the shapes it has captured and leaves every other batch to ``otherwise``.

    Args:
        forward: ``(n, length)`` ids and mask to ``(n, width)``, capturable: no value of a tensor is read on the host.
        rectangle: how rows are padded.
        device: a CUDA device.
        otherwise: launches what fits no shape.
        capture: records a step; ``capture_graph`` but for tests.
    """

    def __init__(
        self,
        forward: nn.Module,
        rectangle: Rectangle,
        device: str,
        otherwise: Launcher[TokenIds],
        capture: Capture | None = None,
    ) -> None:
        self.counts = GraphCounts()
        self.otherwise = otherwise
        self._forward = forward
        self._rectangle = rectangle
        self._device = device
        self._capture = capture or GraphCapture(device)
        self._graphs: dict[Shape, _Graph] = {}

    @property
    def shapes(self) -> list[Shape]:
        """Captured (length, batch), shortest and smallest first."""
        return sorted(self._graphs)

    def capture(self, longest: int) -> None:
        """Capture every shape of at most ``longest`` tokens a row that is not captured yet, the largest first.

        The graphs share one pool of memory, which the largest sets the size of. A forward that cannot be captured
        runs without graphs, and ``counts.refused`` says why.

        Raises:
            DeviceMemoryError, DeviceLostError: of the device.
        """
        wanted = [(length, batch) for length in LENGTHS for batch in BATCHES if length <= longest]
        for shape in sorted(wanted, reverse=True):
            if shape not in self._graphs and not self.counts.refused:
                try:
                    self._graphs[shape] = guarded(self._device, partial(self._captured, *shape))
                except RuntimeError as error:
                    self.counts.refused = str(error).strip()
                    self._graphs.clear()

    def fitting(self, batch: Sequence[TokenIds]) -> Shape | None:
        """The smallest captured shape that takes ``batch``; None where none does."""
        longest = max(map(len, batch))
        shapes = [shape for shape in self._graphs if shape[0] >= longest and shape[1] >= len(batch)]
        return min(shapes, key=lambda shape: shape[0] * shape[1], default=None)

    @property
    def weights_bytes(self) -> int:
        """Those of ``otherwise``, which the graphs read too."""
        return self.otherwise.weights_bytes

    def launch(self, batch: Sequence[TokenIds]) -> Launched:
        """Replay, or hand on."""
        shape = self.fitting(batch)
        if shape is None:
            self.counts.others += 1
            return self.otherwise.launch(batch)
        self.counts.replays += 1
        graph = self._graphs[shape]
        with torch.inference_mode():
            self._fill(graph, batch)
            graph.replay()
            # Cut and copied to the host in stream order, so before the next replay writes over it.
            return landing(graph.output.narrow(0, 0, len(batch)), np.arange(len(batch)), graph.ids.numel())

    def _fill(self, graph: _Graph, batch: Sequence[TokenIds]) -> None:
        ids, mask = pad(batch, self._rectangle.pad_id, self._rectangle.side, length=graph.ids.shape[1])
        graph.ids.narrow(0, 0, len(batch)).copy_(staged(ids, self._device), non_blocking=True)
        graph.mask.narrow(0, 0, len(batch)).copy_(staged(mask, self._device), non_blocking=True)

    def _captured(self, length: int, batch: int) -> _Graph:
        ids = torch.full((batch, length), self._rectangle.pad_id, dtype=torch.int64, device=self._device)
        # Rows beyond a batch keep what the last one left in them; a row of padding alone would have no softmax.
        mask = torch.ones_like(ids)
        with torch.inference_mode():
            replay, output = self._capture(lambda: self._forward(ids, mask))
        return _Graph(ids, mask, output, replay)


class GraphCapture:
    """Records steps as CUDA graphs that share one memory pool."""

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._last: torch.cuda.CUDAGraph | None = None

    def __call__(self, step: Callable[[], Tensor]) -> tuple[Replay, Tensor]:
        """A call that repeats ``step`` over the same memory, and what it writes."""
        stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(_RUNS_BEFORE_CAPTURE):
                step()
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        pool = self._last.pool() if self._last is not None else None
        # Another thread may use CUDA meanwhile; what it does is none of this capture's.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = step()
        self._last = graph
        return graph.replay, output
