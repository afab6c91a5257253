"""A module as one TorchScript call, which runs without the GIL from end to end.

An eager forward gives the GIL back at every operator, so a busy Python thread stretches it many times over.
"""

import warnings

import torch
from torch import Tensor, nn


def traced(forward: nn.Module, example: tuple[Tensor, ...]) -> nn.Module:
    """``forward`` traced on ``example`` and frozen.

    The trace keeps the branches that the example takes: give rows of unequal length, so that masks are applied, and
    compare the result with the module over other shapes, since that is all that guards branches on them.
    """
    with torch.inference_mode(), warnings.catch_warnings():
        # Python branches on shapes are warned of; the comparison is what guards them.
        warnings.simplefilter("ignore")
        module = torch.jit.trace(forward, example, check_trace=False)  # type: ignore[no-untyped-call]
        frozen: nn.Module = torch.jit.freeze(module)
    return frozen
