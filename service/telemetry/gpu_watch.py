"""GpuWatch: reads GPUs on a thread, so that a driver that does not answer costs a scrape its time and nothing more."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Self, TypeVar

from service.telemetry.gpu import GpuReader, GpuReading, GpuState

Result = TypeVar("Result")

_READ_S = 2.0


class GpuWatch:
    """At most one read at a time, whoever asks; an async context manager that owns the reader.

    The thread of a read is a daemon: one that never returns from the driver must not keep the process.

    Args:
        opened: makes the reader, on the thread of the first read.
        read_s: longest time that a caller waits for a read.
    """

    def __init__(self, opened: Callable[[], GpuReader], read_s: float = _READ_S) -> None:
        self._opened = opened
        self._read_s = read_s
        self._reader: GpuReader | None = None
        self._running: asyncio.Future[GpuState] | None = None
        self._last = GpuState(absent="the driver has not answered yet")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._running is not None and not await self._ends(self._running):
            return  # a reader that is in use must not be closed
        if self._reader is not None:
            await self._ends(_on_a_thread(self._reader.close))

    async def read(self) -> GpuState:
        """As of now; where the driver takes too long, the devices last known, with that as their trouble."""
        if self._running is None or self._running.done():
            self._running = _on_a_thread(self._read)
        running = self._running
        if await self._ends(running):
            self._last = running.result()
            return self._last
        trouble = f"the driver has not answered for {self._read_s:g} s"
        gpus = [GpuReading(gpu.device, gpu.uuid, gpu.name, trouble=trouble) for gpu in self._last.gpus]
        return replace(self._last, gpus=gpus)

    async def _ends(self, running: "asyncio.Future[GpuState] | asyncio.Future[None]") -> bool:
        """Whether it does in time; it goes on in any case, also when the caller is cancelled."""
        done, _ = await asyncio.wait([running], timeout=self._read_s)
        return bool(done)

    def _read(self) -> GpuState:
        if self._reader is None:
            self._reader = self._opened()
        return self._reader.read()


def _on_a_thread(work: Callable[[], Result]) -> "asyncio.Future[Result]":
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(work())
        # The edge of a thread: what ends it belongs to those who wait.
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, name="quarry-gpus", daemon=True).start()
    return asyncio.wrap_future(future)
