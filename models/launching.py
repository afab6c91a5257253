"""How a batch reaches the device and its vectors come back.

On the CPU a launch is over when it returns, for a shard of a batch on a thread of its own (``sharding``). On a GPU
nothing in it waits for the device: inputs leave from pinned
memory, the vectors arrive in pinned memory, and an event tells when they are there.
"""

import math
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.base import Finished, Launched, TokenIds, Vectors
from models.device import guarded
from models.packing import pack
from models.padding import Side, length_groups, pad
from models.weights import weights_bytes

Order = NDArray[np.int64]
# What a forward takes, ``(n, length)`` each; ids come first.
Arrays = tuple[NDArray[np.int64], ...]
# One input of a model, as long as its tokens.
Row = TypeVar("Row", bound=Sized)
Row_contra = TypeVar("Row_contra", bound=Sized, contravariant=True)


class Launcher(Protocol[Row_contra]):
    """Starts the forward of a batch of at least one row."""

    @property
    def weights_bytes(self) -> int:
        """Memory of the weights that its forward reads."""

    def launch(self, batch: Sequence[Row_contra]) -> Launched:
        """As ``Embedder.launch``."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """How a model's rows are padded."""

    pad_id: int
    side: Side = "right"

    def arrays(self, batch: Sequence[TokenIds]) -> Arrays:
        """Ids and mask of ``batch``."""
        return pad(batch, self.pad_id, self.side)


class InFlight:
    """A ``Launched`` on a GPU.

    Args:
        output: ``(n, width)`` float32 on the device.
        order: the batch's row of each row of ``output``.
        computed_tokens: padding counted.
    """

    def __init__(self, output: Tensor, order: Order, computed_tokens: int) -> None:
        self.computed_tokens = computed_tokens
        self._device = str(output.device)
        self._order = order
        # The copy below runs in stream order, after the forward; the allocators keep both ends until then.
        self._host = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
        self._host.copy_(output, non_blocking=True)
        self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._arrived.record(torch.cuda.current_stream(output.device))

    @property
    def is_done(self) -> bool:
        """Whether the event has come."""
        return bool(self._arrived.query())  # type: ignore[no-untyped-call]

    def tell(self, call: Callable[[], None]) -> bool:
        """It cannot: CUDA calls no one back who may use Python."""
        return False

    def result(self) -> Vectors:
        """Wait, and put the rows into the batch's order."""
        guarded(self._device, self._arrived.synchronize)
        return _ordered(self._host, self._order)


def landing(output: Tensor, order: Order, computed_tokens: int) -> Launched:
    """What a launch returns for ``output``, wherever it is; see ``InFlight``."""
    if output.device.type == "cpu":
        return Finished(computed_tokens, _ordered(output, order))
    return InFlight(output, order, computed_tokens)


def staged(array: NDArray[np.int64], device: str) -> Tensor:
    """``array`` where ``device`` can copy it from without the host waiting."""
    tensor = torch.from_numpy(array)
    return tensor if device == "cpu" else tensor.pin_memory()


class PaddedLauncher(Generic[Row]):
    """One forward for each group of rows of similar length.

    Args:
        forward: arrays to ``(n, width)`` float32.
        arrays: pads the rows of a group.
        device: where ``forward`` is.
        forward_cost: of a forward beside its tokens, in tokens; as long as it is unknown, a batch is one group.
        weights: memory that they take, where ``forward`` no longer lists them; None counts those that it lists.
    """

    def __init__(
        self,
        forward: nn.Module,
        arrays: Callable[[Sequence[Row]], Arrays],
        device: str,
        forward_cost: float = math.inf,
        weights: int | None = None,
    ) -> None:
        self.forward = forward
        self.weights_bytes = weights_bytes(forward) if weights is None else weights
        self._arrays = arrays
        self._device = device
        self._forward_cost = forward_cost

    def costing(self, forward_cost: float) -> Self:
        """The same, grouping by another cost of a forward, in tokens."""
        return type(self)(self.forward, self._arrays, self._device, forward_cost, self.weights_bytes)

    def launch(self, batch: Sequence[Row]) -> Launched:
        """Pad, run and bring back each group."""
        groups = length_groups([len(row) for row in batch], self._forward_cost)
        with torch.inference_mode():
            outputs = []
            computed = 0
            for rows in groups:
                arrays = self._arrays([batch[row] for row in rows])
                inputs = [staged(array, self._device).to(self._device, non_blocking=True) for array in arrays]
                outputs.append(self.forward(*inputs))
                computed += arrays[0].size
            return landing(torch.cat(outputs), np.concatenate(groups), computed)


class PackedLauncher:
    """One forward for the tokens of all rows, end to end."""

    def __init__(self, forward: nn.Module, device: str) -> None:
        self.forward = forward
        self.weights_bytes = weights_bytes(forward)
        self._device = device

    def launch(self, batch: Sequence[TokenIds]) -> Launched:
        """Pack, run and bring back."""
        with torch.inference_mode():
            packed = pack(batch, self._device)
            return landing(self.forward(packed), np.arange(len(batch)), len(packed.ids))


def _ordered(output: Tensor, order: Order) -> Vectors:
    vectors = np.empty(tuple(output.shape), dtype=np.float32)
    vectors[order] = output.numpy()
    return vectors
