"""How much memory the weights of a module take."""

import torch
from torch import nn


def weights_bytes(module: nn.Module) -> int:
    """Bytes of its parameters and buffers, those that several layers share counted once.

    A traced and frozen module no longer lists them: ask the module that was traced.
    """
    tensors = [*module.parameters(), *module.buffers()]
    return sum({_place(tensor): tensor.numel() * tensor.element_size() for tensor in tensors}.values())


def _place(tensor: torch.Tensor) -> int:
    """The same for two tensors over the same memory; oneDNN's own layouts say nothing of where they are."""
    return id(tensor) if tensor.is_mkldnn else tensor.data_ptr()
