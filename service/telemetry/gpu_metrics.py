"""GPUs as gauges."""

from collections.abc import Mapping
from dataclasses import asdict

from prometheus_client import CollectorRegistry, Counter, Gauge

from service.telemetry.gpu import CLOCKS_EVENT_REASONS, GpuReading, GpuState


class GpuMetrics:
    """What dcgm-exporter gives, such as utilisation, temperature and power, is not repeated."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(name, text, ("device", *labels), registry=registry)

        self._up = gauge("quarry_gpu_up", "1 while the device answers its driver.")
        self._memory = gauge("quarry_gpu_memory_bytes", "Memory of the device.", "kind")
        self._clocks = gauge("quarry_gpu_clocks_event_reason", "1 while this holds the clocks down.", "reason")
        self._ecc = gauge("quarry_gpu_ecc_errors", "Errors of the memory; volatile since the driver loaded.", "kind")
        self._xids = Counter(
            "quarry_gpu_xid_events",
            "Critical errors of the driver since the start.",
            ("device", "xid"),
            registry=registry,
        )
        self._counted: dict[tuple[str, int], int] = {}

    def follow(self, state: GpuState) -> None:
        """Set them to this state; what a device does not tell has no sample."""
        for gauge in (self._up, self._memory, self._clocks, self._ecc):
            gauge.clear()
        for gpu in state.gpus:
            self._up.labels(gpu.device).set(gpu.trouble is None)
            self._follow(gpu)

    def _follow(self, gpu: GpuReading) -> None:
        _set(self._memory, gpu.device, asdict(gpu.memory) if gpu.memory else {})
        _set(self._ecc, gpu.device, asdict(gpu.ecc) if gpu.ecc else {})
        if gpu.clocks_event_reasons is not None:
            held = set(gpu.clocks_event_reasons)
            _set(self._clocks, gpu.device, {name: int(name in held) for name in CLOCKS_EVENT_REASONS.values()})
        for xid, events in (gpu.xids or {}).items():
            self._xids.labels(gpu.device, str(xid)).inc(max(0, events - self._counted.get((gpu.device, xid), 0)))
            self._counted[gpu.device, xid] = events


def _set(gauge: Gauge, device: str, values: Mapping[str, int | None]) -> None:
    for label, value in values.items():
        if value is not None:
            gauge.labels(device, label).set(value)
