"""NvmlGpus: a ``GpuReader`` over NVIDIA's management library."""

import ctypes
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pynvml

from service.telemetry.gpu import (
    CLOCKS_EVENT_REASONS,
    AbsentGpus,
    EccErrors,
    GpuMemory,
    GpuProcess,
    GpuReader,
    GpuReading,
    GpuState,
)

Value = TypeVar("Value")

# What says that the whole device is gone, not that one value is unknown.
_LOST = (pynvml.NVMLError_GpuIsLost, pynvml.NVMLError_ResetRequired)
# What a read that is not supported raises: pynvml's own type where the driver lacks the function altogether.
_UNSUPPORTED = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError)
# Taken from the driver's queue at one read; a device that fails in a loop must not hold it up.
_MOST_EVENTS = 1000


def open_gpus(uuids: Mapping[str, str], library: Any = pynvml) -> GpuReader:  # noqa: ANN401  a module
    """A reader of what is there.

    Args:
        uuids: ``cuda:0`` -> UUID of the devices that CUDA gave this process; may be empty.
        library: ``pynvml`` but for tests.
    """
    try:
        library.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return AbsentGpus("the library NVML (libnvidia-ml.so.1) is not installed: there is no NVIDIA driver")
    except pynvml.NVMLError_DriverNotLoaded:
        return AbsentGpus("the NVIDIA driver is not loaded")
    except pynvml.NVMLError as error:
        return AbsentGpus(f"NVML cannot be used: {error}")
    try:
        reader = NvmlGpus(uuids, library)
    except _UNSUPPORTED as error:
        library.nvmlShutdown()
        return AbsentGpus(f"NVML cannot be used: {error}")
    if not reader.count:
        reader.close()
        return AbsentGpus("the NVIDIA driver sees no GPU")
    return reader


@dataclass(slots=True)
class _Card:
    """A physical device: identity is asked for once, a lost one no longer tells.

    Attributes:
        trouble: why it could not even be opened; ``handle`` is None then.
        watches: its critical errors come to the event set.
    """

    handle: Any
    uuid: str
    name: str
    device: str
    trouble: str | None = None
    watches: bool = False
    xids: Counter[int] = field(default_factory=Counter)


class NvmlGpus:
    """Reads every device that the driver shows to this process.

    Args:
        uuids: as ``open_gpus``.
        library: initialised; shut down by ``close``.

    Raises:
        pynvml.NVMLError: the devices cannot be counted.
    """

    def __init__(self, uuids: Mapping[str, str], library: Any = pynvml) -> None:  # noqa: ANN401  a module
        self._nvml = library
        self._names = {_bare(uuid): device for device, uuid in uuids.items()}
        self._driver = self._value(library.nvmlSystemGetDriverVersion)
        self._cards = [self._card(i) for i in range(library.nvmlDeviceGetCount())]
        self._events = self._value(library.nvmlEventSetCreate)
        for card in self._cards:
            card.watches = self._watch(card)

    @property
    def count(self) -> int:
        """Physical devices."""
        return len(self._cards)

    def read(self) -> GpuState:
        """As ``GpuReader`` has it."""
        self._collect_xids()
        readings = [reading for card in self._cards for reading in self._readings(card)]
        return GpuState(readings, None if readings else "the driver shows none of its GPUs", self._driver)

    def close(self) -> None:
        """Let go of the events and the library."""
        if self._events is not None:
            self._value(self._nvml.nvmlEventSetFree, self._events)
        self._value(self._nvml.nvmlShutdown)

    def _card(self, index: int) -> _Card:
        try:
            handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = self._nvml.nvmlDeviceGetUUID(handle)
            name = self._value(self._nvml.nvmlDeviceGetName, handle) or "GPU"
        except pynvml.NVMLError as error:
            return _Card(None, "", "GPU", self._numbered(index), trouble=str(error))
        return _Card(handle, uuid, name, self._names.get(_bare(uuid), self._numbered(index)))

    def _numbered(self, index: int) -> str:
        """CUDA may number devices otherwise, and some not at all: what it did not name must not take another's name."""
        return f"nvml:{index}" if self._names else f"cuda:{index}"

    def _watch(self, card: _Card) -> bool:
        """Have its critical errors come to the event set."""
        if self._events is None or card.handle is None:
            return False
        try:
            self._nvml.nvmlDeviceRegisterEvents(card.handle, pynvml.nvmlEventTypeXidCriticalError, self._events)
        except _UNSUPPORTED:
            return False
        return True

    def _collect_xids(self) -> None:
        """Count what has happened since the last time; nothing waits for more."""
        if not any(card.watches for card in self._cards):
            return
        cards = {_place(card.handle): card for card in self._cards if card.watches}
        for _ in range(_MOST_EVENTS):
            event = self._value(self._nvml.nvmlEventSetWait_v2, self._events, 0, is_lost_a_value=True)
            if event is None:
                return
            card = cards.get(_place(event.device))
            if card is not None:
                card.xids[int(event.eventData)] += 1

    def _readings(self, card: _Card) -> Iterator[GpuReading]:
        """The device, or those of its instances that this process may use."""
        if card.trouble:
            yield GpuReading(card.device, card.uuid, card.name, trouble=card.trouble)
            return
        try:
            mode = self._value(self._nvml.nvmlDeviceGetMigMode, card.handle)
            is_split = mode is not None and mode[0] == pynvml.NVML_DEVICE_MIG_ENABLE
            instances = list(self._instances(card)) if is_split else []
            mig = None if mode is None else is_split
            if not instances:
                yield self._reading(card, card.handle, card.uuid, card.device, mig)
            for uuid, device, handle in instances:
                yield self._reading(card, handle, uuid, device, mig)
        except _LOST as error:
            yield GpuReading(card.device, card.uuid, card.name, xids=self._xids(card), trouble=str(error))

    def _instances(self, card: _Card) -> Iterator[tuple[str, str, Any]]:
        """UUID, device and handle of the instances; where CUDA named some of them, of those alone."""
        found = []
        for i in range(self._value(self._nvml.nvmlDeviceGetMaxMigDeviceCount, card.handle) or 0):
            handle = self._value(self._nvml.nvmlDeviceGetMigDeviceHandleByIndex, card.handle, i)
            uuid = None if handle is None else self._value(self._nvml.nvmlDeviceGetUUID, handle)
            if uuid is not None:
                found.append((uuid, self._names.get(_bare(uuid), f"{card.device}/mig:{i}"), handle))
        ours = [each for each in found if _bare(each[0]) in self._names]
        yield from ours or found

    def _reading(self, card: _Card, handle: Any, uuid: str, device: str, mig: bool | None) -> GpuReading:  # noqa: ANN401
        """``handle`` is the card's or an instance's, which alone knows its memory and its processes."""
        return GpuReading(
            device=device,
            uuid=uuid,
            name=card.name,
            memory=self._memory(handle),
            clocks_event_reasons=self._clocks(card.handle),
            ecc=self._ecc(card.handle),
            xids=self._xids(card),
            mig=mig,
            instance=handle is not card.handle,
            processes=self._processes(handle),
        )

    def _memory(self, handle: Any) -> GpuMemory | None:  # noqa: ANN401  NVML's
        # The module's constant of that name is the version of the struct.
        memory = self._value(self._nvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
        if memory is not None:
            return GpuMemory(int(memory.total), int(memory.used), int(memory.free), int(memory.reserved))
        memory = self._value(self._nvml.nvmlDeviceGetMemoryInfo, handle)
        return None if memory is None else GpuMemory(int(memory.total), int(memory.used), int(memory.free))

    def _clocks(self, handle: Any) -> list[str] | None:  # noqa: ANN401  NVML's
        bits = self._value(self._nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        if bits is None:  # a driver from before the new name
            bits = self._value(self._nvml.nvmlDeviceGetCurrentClocksThrottleReasons, handle)
        return None if bits is None else [name for bit, name in CLOCKS_EVENT_REASONS.items() if bits & bit]

    def _ecc(self, handle: Any) -> EccErrors | None:  # noqa: ANN401  NVML's
        counts = [
            self._value(self._nvml.nvmlDeviceGetTotalEccErrors, handle, kind, period)
            for period in (pynvml.NVML_VOLATILE_ECC, pynvml.NVML_AGGREGATE_ECC)
            for kind in (pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
        ]
        return None if all(count is None for count in counts) else EccErrors(*counts)

    def _xids(self, card: _Card) -> dict[int, int] | None:
        return dict(card.xids) if card.watches else None

    def _processes(self, handle: Any) -> list[GpuProcess] | None:  # noqa: ANN401  NVML's
        listed = self._value(self._nvml.nvmlDeviceGetComputeRunningProcesses, handle)
        return None if listed is None else [GpuProcess(int(each.pid), each.usedGpuMemory) for each in listed]

    def _value(self, read: Callable[..., Value], *arguments: object, is_lost_a_value: bool = False) -> Value | None:
        """What ``read`` returns; None where this device or driver does not tell.

        Raises:
            pynvml.NVMLError_GpuIsLost, NVMLError_ResetRequired: unless that too is to be None.
        """
        try:
            return read(*arguments)
        except _LOST:
            if not is_lost_a_value:
                raise
            return None
        except _UNSUPPORTED:
            return None


def _bare(uuid: str) -> str:
    """CUDA leaves out the prefix that NVML writes."""
    return uuid.lower().removeprefix("gpu-").removeprefix("mig-")


def _place(handle: Any) -> int:  # noqa: ANN401  NVML's
    """What a handle points to: the one in an event is another object for the same device."""
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
