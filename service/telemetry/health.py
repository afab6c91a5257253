"""Whether the server can serve, what it does without, and the disk below it."""

import os
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from prometheus_client import CollectorRegistry, Gauge

_LOSSES = ("llm", "disk", "collection", "milvus", "redis", "keys")


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of the data directory.

    Attributes:
        free_bytes: for this user; 0 where it cannot be asked.
        is_writable: not where it is mounted read-only, as a system does that met an error on it.
    """

    free_bytes: int
    is_writable: bool

    @classmethod
    def of(cls, data_dir: Path) -> Self:
        """As of now. A file system may take its time: not for the event loop."""
        try:
            return cls(shutil.disk_usage(data_dir).free, os.access(data_dir, os.W_OK))
        except OSError:
            return cls(0, is_writable=False)


class HealthMetrics:
    """What /readyz says, as gauges."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ready = Gauge("quarry_ready", "1 while search can serve.", registry=registry)
        self._lost = Gauge("quarry_lost", "1 while the server does without it.", ("what",), registry=registry)
        self._free = Gauge("quarry_disk_free_bytes", "Free for the data directory.", registry=registry)
        self._writable = Gauge("quarry_disk_writable", "1 while the data directory can be written.", registry=registry)

    def follow(self, *, is_ready: bool, degraded: Collection[str], disk: Disk | None) -> None:
        """Set them.

        Args:
            degraded: as in /readyz; the names of collections are left out.
            disk: None where nothing is kept on one.
        """
        self._ready.set(is_ready)
        lost = {rung.partition(":")[0] for rung in degraded}
        for what in _LOSSES:
            self._lost.labels(what).set(what in lost)
        if disk is not None:
            self._free.set(disk.free_bytes)
            self._writable.set(disk.is_writable)
