"""MemoryWatch: looks at memory regularly, and pauses what can wait before anything fails."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from service.bulk_hold import BulkHold, Cause
from service.engine import Engine
from service.measured_memory import Memory
from service.telemetry.ledger import HOST
from service.telemetry.memory import MemoryMetrics
from service.watermark import Filling, Level, Watermarks

# Ingest takes memory by megabytes a second, and between the marks are hundreds of them on any machine that serves.
_EVERY_S = 1.0
# Looks with the host above a mark, between two times that freed memory is given back.
_LOOKS_TO_GIVE_BACK = 10
# A driver may not answer at all; what is held stays held meanwhile.
_READ_S = 5.0
_CAUSE = "memory is above its high mark"

_log = logging.getLogger("quarry.memory")


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """One device against its marks."""

    filling: Filling
    level: Level


class MemoryWatch:
    """An async context manager that the lifespan owns.

    Above the low mark of any device bulk work is held; above the high one no more queries wait than the next forward
    takes.
    """

    def __init__(
        self,
        memory: Memory,
        marks: Watermarks,
        hold: BulkHold,
        engine: Engine,
        metrics: MemoryMetrics,
        every_s: float = _EVERY_S,
    ) -> None:
        self._memory = memory
        self.marks = marks
        self._hold = hold
        self._engine = engine
        self._metrics = metrics
        self._every_s = every_s
        self._read_at = time.monotonic()
        metrics.age.set_function(lambda: time.monotonic() - self._read_at)
        self._devices: Sequence[DeviceMemory] = ()
        self._looks_above = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="memory")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def level(self) -> Level:
        """Of the fullest device."""
        return max((device.level for device in self._devices), default=Level.CLEAR)

    @property
    def devices(self) -> Sequence[DeviceMemory]:
        """As they were last seen."""
        return self._devices

    async def look(self) -> None:
        """Read, and act on what is new."""
        before = {device.filling.device: device.level for device in self._devices}
        async with asyncio.timeout(_READ_S):
            fillings = await self._memory.read()
        self._read_at = time.monotonic()
        levels = self.marks.levels(fillings, before)
        self._devices = [DeviceMemory(filling, levels[filling.device]) for filling in fillings]
        self._metrics.follow((one.filling.device, one.filling.share, one.level) for one in self._devices)
        for device in self._devices:
            if device.level is not before.get(device.filling.device, Level.CLEAR):
                _say(device)
        self._act()
        await self._relieve()

    def _act(self) -> None:
        """Both are the same however often they are said."""
        if self.level is Level.CLEAR:
            self._hold.release(Cause.MEMORY)
        else:
            self._hold.hold(Cause.MEMORY)
        self._engine.tighten(_CAUSE if self.level is Level.HIGH else None)

    async def _relieve(self) -> None:
        if not any(device.level and device.filling.device == HOST for device in self._devices):
            self._looks_above = 0
            return
        if self._looks_above % _LOOKS_TO_GIVE_BACK == 0:
            await self._memory.give_back()
        self._looks_above += 1

    async def _run(self) -> None:
        has_failed = False
        while True:
            try:
                await self.look()
                has_failed = False
            except Exception:  # a loop edge: what cannot be read now may be readable at the next look
                if not has_failed:
                    _log.exception("memory cannot be read; what is held stays held")
                has_failed = True
            await asyncio.sleep(self._every_s)


def _say(device: DeviceMemory) -> None:
    filling = device.filling
    told = {"device": filling.device, "used": filling.used, "limit": filling.limit, "share": round(filling.share, 4)}
    match device.level:
        case Level.CLEAR:
            _log.info("memory is below its marks again", extra=told)
        case Level.LOW:
            _log.warning("memory is above its low mark: bulk work waits", extra=told)
        case Level.HIGH:
            _log.error("memory is above its high mark: fewer queries may wait", extra=told)
