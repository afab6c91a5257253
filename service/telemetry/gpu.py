"""What NVML knows of GPUs and no other exporter joins with our own figures: memory, limits on clocks, faults.

Everything that a device, its driver or its container does not tell is None. Neither a missing driver nor a lost GPU is
an error: both are states.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Protocol, Self

from pydantic import TypeAdapter

# nvml.h, nvmlClocksEventReason*: why the clocks are below what they could be.
CLOCKS_EVENT_REASONS: Mapping[int, str] = {
    0x001: "gpu_idle",
    0x002: "applications_clocks_setting",
    0x004: "sw_power_cap",
    0x008: "hw_slowdown",
    0x010: "sync_boost",
    0x020: "sw_thermal_slowdown",
    0x040: "hw_thermal_slowdown",
    0x080: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes, by NVML's second form of it: total = used + reserved + free.

    Attributes:
        reserved: by the driver and the firmware; None from drivers that count it as used.
    """

    total: int
    used: int
    free: int
    reserved: int | None = None


@dataclass(frozen=True, slots=True)
class EccErrors:
    """Errors of the memory: ``volatile`` since the driver was loaded, ``aggregate`` in the life of the device."""

    volatile_corrected: int | None = None
    volatile_uncorrected: int | None = None
    aggregate_corrected: int | None = None
    aggregate_uncorrected: int | None = None


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A process that computes on a device.

    Attributes:
        pid: in a container it may be that of the host.
        bytes: None where NVML does not say.
    """

    pid: int
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class GpuReading:
    """One device, or one MIG instance of a device, whose clocks, ECC and Xid are those of the whole.

    Attributes:
        device: ``cuda:0`` as this process counts, or ``nvml:0`` where CUDA shows it others only; in NVML's order where
            the process does not use CUDA.
        clocks_event_reasons: those that hold now, by name; see ``CLOCKS_EVENT_REASONS``.
        xids: critical errors of the driver since this process watches, by number.
        mig: whether the device is split into instances.
        instance: this is one of them.
        processes: None where NVML does not list them.
        trouble: why nothing else is known, e.g. that the device is lost.
    """

    device: str
    uuid: str
    name: str
    memory: GpuMemory | None = None
    clocks_event_reasons: Sequence[str] | None = None
    ecc: EccErrors | None = None
    xids: Mapping[int, int] | None = None
    mig: bool | None = None
    instance: bool = False
    processes: Sequence[GpuProcess] | None = None
    trouble: str | None = None


@dataclass(frozen=True, slots=True)
class GpuState:
    """All devices at one moment.

    Attributes:
        absent: why there are none.
        driver: its version.
    """

    gpus: Sequence[GpuReading] = ()
    absent: str | None = None
    driver: str | None = None


class GpuReader(Protocol):
    """Asks for the state. For one thread at a time; a driver in trouble may not return at all."""

    def read(self) -> GpuState:
        """As of now; never raises for what a device does not support."""

    def close(self) -> None:
        """Let go of the library."""


class AbsentGpus:
    """There is nothing to read.

    Args:
        reason: e.g. that the driver is missing.
    """

    def __init__(self, reason: str) -> None:
        self._state = GpuState(absent=reason)

    def read(self) -> GpuState:
        """The reason."""
        return self._state

    def close(self) -> None:
        """Nothing is held."""


class RecordedGpus:
    """Plays states back, the last one for ever.

    Args:
        states: at least one.
    """

    def __init__(self, states: Sequence[GpuState]) -> None:
        self._states = chain(states, repeat(states[-1]))
        self.is_closed = False

    @classmethod
    def from_json(cls, recorded: str | bytes) -> Self:
        """From a JSON list of ``GpuState``.

        Raises:
            pydantic.ValidationError: it is none.
        """
        return cls(TypeAdapter(list[GpuState]).validate_json(recorded))

    def read(self) -> GpuState:
        """The next one."""
        return next(self._states)

    def close(self) -> None:
        """Noted for the test."""
        self.is_closed = True
