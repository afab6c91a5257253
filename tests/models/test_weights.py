"""Memory of weights, whatever form they are run in."""

import pytest
import torch
from torch import nn

from models.transformer import TransformerEmbedder
from models.weights import weights_bytes

# Parameters of all-MiniLM-L6-v2 without its pooler, which nothing reads.
_MINILM = 22_565_376


def test_every_tensor_is_counted_once() -> None:
    first, second = nn.Linear(8, 4), nn.Linear(8, 4)
    second.weight = first.weight
    norm = nn.BatchNorm1d(4)
    both = nn.Sequential(first, second, norm)
    assert weights_bytes(both) == 4 * (8 * 4 + 4 + 4) + weights_bytes(norm)
    assert weights_bytes(both.bfloat16()) < weights_bytes(nn.Sequential(nn.Linear(8, 4), nn.Linear(8, 4), norm).float())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_of_the_form_that_serves(dtype: str) -> None:
    info = TransformerEmbedder.load("all-MiniLM-L6-v2", device="cpu", dtype=dtype, threads=1).info
    width = getattr(torch, dtype).itemsize
    assert info.dtype == dtype
    assert info.weights_bytes == pytest.approx(width * _MINILM, rel=0.02)
