"""Linear layers whose weights are laid out once as oneDNN multiplies them, for reduced precision on the CPU.

torch.nn.functional.linear lays them out anew at every call, which is a third of the time of a short text.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.bert import BertEncoder, BertLayer

# TorchScript, because tracing cannot record the operator's empty list of scalars.
_SOURCE = """
def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")

def then_gelu(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu", [], "none")
"""


class PrepackedLinear(nn.Module):
    """What ``linear`` computes, by ``product``, a function of ``_SOURCE``."""

    def __init__(self, linear: nn.Module, product: Any) -> None:  # noqa: ANN401  a TorchScript function
        super().__init__()
        self.product = product
        plain = cast("nn.Linear", linear)
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(plain.weight.detach(), None))
        self.register_buffer("bias", plain.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        """``(..., in)`` to ``(..., out)``."""
        output: Tensor = self.product(x, self.weight, self.bias)
        return output


def prepack(encoder: BertEncoder) -> BertEncoder:
    """``encoder`` with every linear layer prepacked.

    Raises:
        RuntimeError, AttributeError: this build of torch has no such operator, or none for this precision.
    """
    compiled = torch.jit.CompilationUnit(_SOURCE)
    for layer in cast("Iterable[BertLayer]", encoder.layers):
        layer.project = PrepackedLinear(layer.project, compiled.plain)
        layer.join = PrepackedLinear(layer.join, compiled.plain)
        layer.narrow = PrepackedLinear(layer.narrow, compiled.plain)
        has_gelu = layer.activation is functional.gelu
        layer.widen = PrepackedLinear(layer.widen, compiled.then_gelu if has_gelu else compiled.plain)
        if has_gelu:
            layer.activation = _unchanged
    return encoder


def _unchanged(x: Tensor) -> Tensor:
    return x
