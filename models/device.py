"""The device a model runs on, and its faults as errors of this room.

A failed forward leaves tensors behind in the frames of its traceback. The typed error is therefore raised after the
original is gone, so that a smaller forward finds that memory free.
"""

import os
from collections.abc import Callable
from typing import TypeVar

import torch

from models.base import DeviceLostError, DeviceMemoryError, DeviceNotFoundError

Result = TypeVar("Result")

# What allocators say where they raise a plain RuntimeError: PyTorch's on the CPU, cuBLAS's and CUDA's own.
_OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
)


def choose_device(wanted: str) -> str:
    """``wanted``, where ``auto`` is the first GPU if there is one, else the CPU.

    Raises:
        DeviceNotFoundError: it is neither ``auto``, ``cpu`` nor a GPU that PyTorch sees, such as ``cuda:0``.
    """
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if wanted == "auto":
        return gpus[0] if gpus else "cpu"
    if wanted == "cuda" and gpus:
        return gpus[0]
    if wanted not in {"cpu", *gpus}:
        raise DeviceNotFoundError(f"device {wanted!r} is not there; there are {', '.join(['auto', 'cpu', *gpus])}")
    return wanted


def gpu_uuids() -> dict[str, str]:
    """``cuda:0`` -> the UUID of that GPU, or of that instance of one, without a prefix; starts CUDA, but no context."""
    names = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return {name: str(torch.cuda.get_device_properties(name).uuid) for name in names}


def available_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def use_one_core(device: str) -> None:
    """Have forwards of the calling thread use one core, as each shard of a batch does; nothing on a GPU."""
    if device == "cpu":
        torch.set_num_threads(1)


def guarded(device: str, step: Callable[[], Result]) -> Result:
    """The result of ``step``, run on ``device``.

    Raises:
        DeviceMemoryError: it ran out of memory; what it held is freed by the time this is raised.
        DeviceLostError: CUDA reported an error and still reports it when asked again.
    """
    try:
        return step()
    except (RuntimeError, MemoryError) as error:
        fault = fault_of(error, device)
        if fault is None:
            raise
    if device != "cpu" and isinstance(fault, DeviceMemoryError):
        torch.cuda.empty_cache()
    raise fault


def fault_of(error: BaseException, device: str) -> DeviceMemoryError | DeviceLostError | None:
    """The fault of ``device`` that ``error`` tells of; None for an error of another kind."""
    message = str(error)
    first_line = message.strip().partition("\n")[0]
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(text in message for text in _OUT_OF_MEMORY):
        return DeviceMemoryError(f"{device} ran out of memory: {first_line}")
    if isinstance(error, torch.AcceleratorError) or "CUDA error" in message:
        again = _standing_error(device)
        if again is not None:
            return DeviceLostError(f"{device} is lost to this process: {first_line}; asked again: {again}")
    return None


def _standing_error(device: str) -> str | None:
    """What CUDA says when it is asked to finish: an error that stands there stands until the process ends."""
    try:
        torch.cuda.synchronize(device)
    except RuntimeError as error:
        return str(error).partition("\n")[0]
    return None
