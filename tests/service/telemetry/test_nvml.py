"""NVML through its Python module, with a library that follows a script."""

import ctypes
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeAlias

import pynvml
import pytest

from service.telemetry.gpu import EccErrors, GpuMemory, GpuProcess, GpuReader
from service.telemetry.nvml import open_gpus

Handle: TypeAlias = Any
CARD, INSTANCE, OTHER, SECOND = (ctypes.pointer(ctypes.c_int(i)) for i in range(4))
UUIDS = {0: "GPU-AB", 1: "MIG-CD", 2: "MIG-EF", 3: "GPU-GH"}


class Scripted:
    """One H200; ``errors`` makes functions fail, ``events`` are waiting in the driver's queue."""

    def __init__(self) -> None:
        self.errors: dict[str, Exception] = {}
        self.events: deque[SimpleNamespace] = deque()
        self.mig = [0, 0]
        self.count = 1
        self.shut_down = self.freed = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        answer = getattr(type(self), f"_{name}")

        def call(*arguments: object) -> Any:  # noqa: ANN401
            if name in self.errors:
                raise self.errors[name]
            return answer(self, *arguments)

        return call

    def _nvmlInit(self) -> None: ...

    def _nvmlShutdown(self) -> None:
        self.shut_down = True

    def _nvmlSystemGetDriverVersion(self) -> str:
        return "580.95"

    def _nvmlDeviceGetCount(self) -> int:
        return self.count

    def _nvmlDeviceGetHandleByIndex(self, index: int) -> object:
        return (CARD, SECOND)[index]

    def _nvmlDeviceGetUUID(self, handle: Handle) -> str:
        return UUIDS[handle.contents.value]

    def _nvmlDeviceGetName(self, handle: object) -> str:
        return "NVIDIA H200"

    def _nvmlEventSetCreate(self) -> str:
        return "events"

    def _nvmlEventSetFree(self, events: str) -> None:
        self.freed = True

    def _nvmlDeviceRegisterEvents(self, handle: object, kinds: int, events: str) -> None:
        assert kinds == pynvml.nvmlEventTypeXidCriticalError

    def _nvmlEventSetWait_v2(self, events: str, timeout_ms: int) -> SimpleNamespace:
        assert timeout_ms == 0
        if not self.events:
            raise pynvml.NVMLError_Timeout
        return self.events.popleft()

    def _nvmlDeviceGetMigMode(self, handle: object) -> list[int]:
        return self.mig

    def _nvmlDeviceGetMaxMigDeviceCount(self, handle: object) -> int:
        return 7

    def _nvmlDeviceGetMigDeviceHandleByIndex(self, handle: object, index: int) -> object:
        if index > 1:
            raise pynvml.NVMLError_NotFound
        return (INSTANCE, OTHER)[index]

    def _nvmlDeviceGetMemoryInfo(self, handle: Handle, version: int | None = None) -> SimpleNamespace:
        whole = 100 if handle is CARD else 10
        return SimpleNamespace(total=whole, used=4, reserved=1, free=whole - 5)

    def _nvmlDeviceGetCurrentClocksEventReasons(self, handle: object) -> int:
        assert handle is CARD or handle is SECOND
        return 0x4 | 0x40

    def _nvmlDeviceGetTotalEccErrors(self, handle: object, kind: int, period: int) -> int:
        assert handle is CARD or handle is SECOND
        return 10 * period + kind

    def _nvmlDeviceGetComputeRunningProcesses(self, handle: Handle) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=7, usedGpuMemory=3), SimpleNamespace(pid=8, usedGpuMemory=None)]


@pytest.fixture
def nvml() -> Scripted:
    return Scripted()


def opened(nvml: Scripted, **uuids: str) -> GpuReader:
    return open_gpus({name.replace("_", ":"): uuid for name, uuid in uuids.items()}, nvml)


def event(xid: int, handle: Handle = CARD) -> SimpleNamespace:
    another = ctypes.cast(ctypes.cast(handle, ctypes.c_void_p), ctypes.POINTER(ctypes.c_int))
    return SimpleNamespace(device=another, eventData=xid)


def test_everything_that_a_device_tells(nvml: Scripted) -> None:
    state = opened(nvml, cuda_3="ab").read()
    (gpu,) = state.gpus
    assert (state.driver, state.absent) == ("580.95", None)
    assert (gpu.device, gpu.uuid, gpu.name, gpu.mig, gpu.instance) == ("cuda:3", "GPU-AB", "NVIDIA H200", False, False)
    assert gpu.memory == GpuMemory(total=100, used=4, free=95, reserved=1)
    assert gpu.clocks_event_reasons == ["sw_power_cap", "hw_thermal_slowdown"]
    assert gpu.ecc == EccErrors(0, 1, 10, 11)
    assert gpu.processes == [GpuProcess(7, 3), GpuProcess(8, None)]
    assert (gpu.xids, gpu.trouble) == ({}, None)


def test_a_device_that_cuda_did_not_name_is_named_in_nvmls_order(nvml: Scripted) -> None:
    assert opened(nvml).read().gpus[0].device == "cuda:0"


def test_a_device_that_cuda_hides_does_not_take_the_name_of_another(nvml: Scripted) -> None:
    nvml.count = 2
    gpus = opened(nvml, cuda_0="gh").read().gpus
    assert [(gpu.device, gpu.uuid) for gpu in gpus] == [("nvml:0", "GPU-AB"), ("cuda:0", "GPU-GH")]


def test_critical_errors_are_taken_from_the_queue(nvml: Scripted) -> None:
    reader = opened(nvml)
    nvml.events.extend([event(31), event(31), event(79)])
    assert reader.read().gpus[0].xids == {31: 2, 79: 1}
    nvml.events.append(event(79))
    assert reader.read().gpus[0].xids == {31: 2, 79: 2}


@pytest.mark.parametrize(
    ("function", "field"),
    [
        ("nvmlDeviceGetTotalEccErrors", "ecc"),
        ("nvmlDeviceGetMigMode", "mig"),
        ("nvmlDeviceGetComputeRunningProcesses", "processes"),
        ("nvmlDeviceGetMemoryInfo", "memory"),
        ("nvmlDeviceRegisterEvents", "xids"),
        ("nvmlEventSetCreate", "xids"),
    ],
)
@pytest.mark.parametrize(
    "error",
    [pynvml.NVMLError_NotSupported(), pynvml.NVMLError_NoPermission(), pynvml.NVMLLibraryMismatchError("too old")],
)
def test_what_is_not_supported_is_none(nvml: Scripted, function: str, field: str, error: Exception) -> None:
    nvml.errors[function] = error
    (gpu,) = opened(nvml).read().gpus
    assert getattr(gpu, field) is None
    fields = ("ecc", "mig", "processes", "memory", "xids", "clocks_event_reasons")
    assert all(getattr(gpu, other) is not None for other in fields if other != field)


def test_the_instance_that_cuda_was_given_is_read(nvml: Scripted) -> None:
    nvml.mig = [1, 1]
    (gpu,) = opened(nvml, cuda_0="MIG-ef").read().gpus
    assert (gpu.device, gpu.uuid, gpu.mig, gpu.instance) == ("cuda:0", "MIG-EF", True, True)
    assert gpu.memory is not None
    assert gpu.memory.total == 10
    assert gpu.ecc is not None


def test_where_cuda_named_none_every_instance_is_read(nvml: Scripted) -> None:
    nvml.mig = [1, 1]
    gpus = opened(nvml).read().gpus
    assert [(gpu.device, gpu.uuid) for gpu in gpus] == [("cuda:0/mig:0", "MIG-CD"), ("cuda:0/mig:1", "MIG-EF")]


@pytest.mark.parametrize("error", [pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_ResetRequired])
def test_a_device_that_is_lost_while_it_is_watched(nvml: Scripted, error: type[Exception]) -> None:
    reader = opened(nvml)
    nvml.events.append(event(79))
    assert reader.read().gpus[0].trouble is None
    for function in ("nvmlDeviceGetMemoryInfo", "nvmlEventSetWait_v2", "nvmlDeviceGetMigMode"):
        nvml.errors[function] = error()
    (gpu,) = reader.read().gpus
    assert gpu.trouble == str(error())
    assert (gpu.device, gpu.name, gpu.memory, gpu.xids) == ("cuda:0", "NVIDIA H200", None, {79: 1})


def test_a_device_that_is_lost_already(nvml: Scripted) -> None:
    nvml.errors["nvmlDeviceGetHandleByIndex"] = pynvml.NVMLError_GpuIsLost()
    (gpu,) = opened(nvml).read().gpus
    assert (gpu.device, gpu.trouble) == ("cuda:0", "GPU is lost")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (pynvml.NVMLError_LibraryNotFound(), "not installed"),
        (pynvml.NVMLError_DriverNotLoaded(), "not loaded"),
        (pynvml.NVMLError_LibRmVersionMismatch(), "cannot be used"),
    ],
)
def test_absent_is_a_state(nvml: Scripted, error: Exception, reason: str) -> None:
    nvml.errors["nvmlInit"] = error
    state = opened(nvml).read()
    assert state.gpus == ()
    assert state.absent is not None
    assert reason in state.absent


def test_no_device_is_absent_too(nvml: Scripted) -> None:
    nvml.count = 0
    assert opened(nvml).read().absent == "the NVIDIA driver sees no GPU"
    assert nvml.shut_down


def test_the_library_is_let_go(nvml: Scripted) -> None:
    reader = opened(nvml)
    reader.close()
    assert (nvml.freed, nvml.shut_down) == (True, True)
