"""GPUs: what the driver says of them, and what this build of FAISS can do with them."""

from collections.abc import Iterator, Sequence

from indexes.errors import DeviceError
from indexes.gpu_probe import Capabilities, choose_device
from service.doctor.check import Finding, failure, ok, warning
from service.settings import Settings
from service.telemetry.gpu import GpuReading, GpuState

_GIB = 1 << 30
# What holds the clocks down and should not: the others are idleness, or a limit that somebody chose.
_THROTTLED = {"hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown", "sw_thermal_slowdown"}


def look_at_gpus(state: GpuState, wanted: Sequence[str]) -> Iterator[Finding]:
    """The driver and every device.

    Args:
        wanted: devices that the settings name.
    """
    if state.absent:
        named = [device for device in wanted if device.startswith("cuda")]
        if named:
            advice = "install the driver, give the container its devices, or set the devices to cpu"
            yield failure("gpu", f"{state.absent}, but the settings name {', '.join(named)}", advice)
        else:
            yield ok("gpu", f"none: {state.absent}")
        return
    yield ok("gpu", f"driver {state.driver or 'of unknown version'}, {len(state.gpus)} device(s)")
    for gpu in state.gpus:
        yield _gpu(gpu)


def _gpu(gpu: GpuReading) -> Finding:
    title = f"gpu {gpu.device}"
    if gpu.trouble:
        return failure(title, f"{gpu.name}: {gpu.trouble}", "see the kernel's log for Xid; reset or replace the device")
    memory, ecc = gpu.memory, gpu.ecc
    free = f"{memory.free / _GIB:.1f} of {memory.total / _GIB:.1f} GiB free" if memory else "memory unknown"
    found = f"{gpu.name}{', a MIG instance' if gpu.instance else ''}, {free}"
    errors = (ecc and ecc.volatile_uncorrected) or 0
    if errors:
        return failure(
            title, f"{found}; {errors} uncorrected memory errors", "reset the device; replace it if they recur"
        )
    slow = _THROTTLED.intersection(gpu.clocks_event_reasons or ())
    if slow:
        return warning(title, f"{found}; held down by {', '.join(sorted(slow))}", "look at its cooling and its power")
    return ok(title, found)


def look_at_faiss(settings: Settings, able: Capabilities) -> Iterator[Finding]:
    """Whether the build fits ``index.device``."""
    built = f"built with {', '.join(able.backends)} kernels" if able.backends else "a build for the CPU"
    try:
        device = choose_device(settings.index.device, able)
    except DeviceError as error:
        yield failure("faiss", str(error), "install faiss-gpu-cuvs: pip install '.[cuda]', or set index.device to cpu")
        return
    yield ok("faiss", f"{built}, {able.gpus} GPU(s) seen: index.device {settings.index.device} is {device}")
