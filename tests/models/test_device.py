import gc
import weakref

import pytest
import torch

from models.base import DeviceLostError, DeviceMemoryError, DeviceNotFoundError
from models.device import choose_device, guarded

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


class Held:
    """Stands for the tensors of a forward."""


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: 17 bytes"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError("Unable to allocate 3 TiB for an array"),
    ],
)
def test_an_allocation_that_fails_is_a_memory_error(error: Exception) -> None:
    def step() -> None:
        raise error

    with pytest.raises(DeviceMemoryError, match="cpu ran out of memory") as caught:
        guarded("cpu", step)
    assert caught.value.__context__ is None


def test_the_frames_of_the_failed_step_are_gone_when_the_typed_error_is_raised() -> None:
    held: list[weakref.ref[Held]] = []

    def step() -> None:
        tensors = Held()
        held.append(weakref.ref(tensors))
        raise torch.OutOfMemoryError("CUDA out of memory")

    gc.disable()
    try:
        guarded("cpu", step)
    except DeviceMemoryError:
        assert held[0]() is None
    else:
        pytest.fail("nothing was raised")
    finally:
        gc.enable()


def test_a_real_allocation_on_the_cpu_that_fails_is_a_memory_error() -> None:
    with pytest.raises(DeviceMemoryError, match="tried to allocate"):
        guarded("cpu", lambda: torch.empty(1 << 60, dtype=torch.uint8))


@pytest.mark.parametrize("kind", [RuntimeError, torch.AcceleratorError])
def test_a_cuda_error_that_stands_is_a_lost_device(monkeypatch: pytest.MonkeyPatch, kind: type[Exception]) -> None:
    def synchronize(_: object) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)

    def step() -> None:
        raise kind("CUDA error: an illegal memory access was encountered")

    with pytest.raises(DeviceLostError, match=r"cuda:0 is lost .* illegal memory access") as caught:
        guarded("cuda:0", step)
    assert caught.value.__context__ is None


def test_a_cuda_error_that_passes_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)

    def step() -> None:
        raise RuntimeError("CUDA error: invalid configuration argument")

    with pytest.raises(RuntimeError, match="invalid configuration"):
        guarded("cuda:0", step)


def test_other_errors_and_results_pass_through() -> None:
    def step() -> None:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        guarded("cpu", step)
    assert guarded("cpu", lambda: 3) == 3


def test_a_device_that_is_named_is_taken() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == ("cuda:0" if torch.cuda.is_available() else "cpu")


@pytest.mark.gpu
@gpu
def test_a_real_allocation_on_the_gpu_that_fails_leaves_room_for_a_smaller_one() -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    before = torch.cuda.memory_reserved(0)

    def step() -> None:
        torch.empty(total // 4, dtype=torch.uint8, device="cuda:0")
        torch.empty(total * 2, dtype=torch.uint8, device="cuda:0")

    with pytest.raises(DeviceMemoryError):
        guarded("cuda:0", step)
    assert torch.cuda.memory_reserved(0) <= before + (1 << 20)


@pytest.mark.parametrize("wanted", ["nonsense", "cuda:99", "mps", "cuda:x", ""])
def test_a_device_that_is_not_there_is_named_with_those_that_are(wanted: str) -> None:
    with pytest.raises(DeviceNotFoundError, match=rf"device '{wanted}' is not there; there are auto, cpu"):
        choose_device(wanted)


def test_the_default_device_is_one_that_is_there() -> None:
    assert choose_device(choose_device("auto")) == choose_device("auto")
