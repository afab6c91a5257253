"""Memory against its marks, as gauges."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge

MARKS = ("low", "high")


class MemoryMetrics:
    """By device."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._share = Gauge("quarry_memory_share", "Share of the memory that is taken.", ["device"], registry=registry)
        self.age = Gauge("quarry_memory_age_seconds", "Since memory was last read.", registry=registry)
        self._above = Gauge(
            "quarry_memory_watermark", "1 while memory is above the mark.", ["device", "mark"], registry=registry
        )

    def follow(self, devices: Iterable[tuple[str, float, int]]) -> None:
        """Set them to device, share and number of marks that are reached; devices not named lose their samples."""
        self._share.clear()
        self._above.clear()
        for device, share, reached in devices:
            self._share.labels(device).set(share)
            for number, mark in enumerate(MARKS):
                self._above.labels(device, mark).set(reached > number)
