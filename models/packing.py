"""Rows of unequal length end to end, as attention without padding takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Packed:
    """The tokens of ``n`` rows, ``total`` of them, on the device of a forward.

    Attributes:
        lengths: tokens of each row; known on the host, so that nothing has to wait for the device to learn a size.
        bounds: ``(n + 1,)`` int32, where each row begins, and ``total``.
        ids: ``(total,)`` int32.
        types: ``(total,)`` int32 token types, or None where all are 0.
    """

    lengths: tuple[int, ...]
    bounds: Tensor
    ids: Tensor
    types: Tensor | None = None

    def firsts(self) -> Tensor:
        """Where each row begins, ``(n,)`` int32."""
        return self.bounds.narrow(0, 0, len(self.lengths))

    def rows(self) -> Tensor:
        """The row of each token, ``(total,)`` int32."""
        numbers = torch.arange(len(self.lengths), dtype=torch.int32, device=self.bounds.device)
        return numbers.repeat_interleave(self.bounds.diff(), output_size=sum(self.lengths))


def pack(batch: Sequence[Sequence[int]], device: str, types: Sequence[Sequence[int]] | None = None) -> Packed:
    """The rows of ``batch`` on ``device``, in one copy that the host does not wait for."""
    lengths = tuple(map(len, batch))
    total, head = sum(lengths), len(lengths) + 1
    parts = [batch] if types is None else [batch, types]
    host = torch.empty(head + total * len(parts), dtype=torch.int32, pin_memory=device != "cpu")
    numbers = host.numpy()
    numbers[0] = 0
    np.cumsum(lengths, out=numbers[1:head])
    for place, rows in enumerate(parts):
        begin = head + place * total
        numbers[begin : begin + total] = np.fromiter(chain.from_iterable(rows), np.int32, total)
    whole = host.to(device, non_blocking=True)
    kinds = whole[head + total :] if types is not None else None
    return Packed(lengths, whole[:head], whole[head : head + total], kinds)
