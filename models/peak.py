"""The rate of a device's matrix products, to hold a forward against."""

import time

import torch

_GPU_SIZE, _CPU_SIZE = 8192, 1024
_ROUNDS = 10


def matmul_flops(device: str, dtype: str) -> float:
    """Multiplications and additions a second of a square product of random numbers, the best of several rounds."""
    size = _CPU_SIZE if device == "cpu" else _GPU_SIZE
    left, right = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
    best = float("inf")
    for _ in range(_ROUNDS):
        _wait(device)
        start = time.perf_counter()
        left @ right
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2.0 * size**3 / best


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
