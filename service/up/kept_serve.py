"""KeptServe: `quarry serve`, started again whenever it ends."""

import asyncio
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from service.link import Link
from service.settings import LINK_VARIABLE
from service.up.backoff import Backoff
from service.up.child import Child, Exit, Launch
from service.up.durations import Durations
from service.up.errors import UpError
from service.up.events import report
from service.up.process_record import ProcessRecord

_NAME = "serve"


class KeptServe:
    """The process and the link to it.

    Attributes:
        is_ending: it is not started again.
        token_at: when it last reported that a stream of the language model moved; ``time.monotonic()`` seconds.
    """

    def __init__(self, launch: Launch, record: ProcessRecord, durations: Durations) -> None:
        self._launch = launch
        self._record = record
        self._durations = durations
        self._child: Child | None = None
        self._link: Link | None = None
        self._phase: Mapping[str, object] | None = None
        self._ready, self._held = asyncio.Event(), asyncio.Event()
        self._ready_at: float | None = None
        self.is_ending = False
        self.token_at = 0.0

    async def keep(self) -> None:
        """Run it until it ends while ``is_ending``.

        Raises:
            UpError: it ended before it was ever ready: the next start would not go better.
        """
        backoff, why = Backoff(self._durations), ""
        was_ready = False
        while not self.is_ending:
            why = str(await self._live())
            if self.is_ending:
                break
            was_ready |= self._ready_for_s() is not None
            if not was_ready:
                raise UpError(f"quarry serve ended before it was ready, {why}; it said why above")
            await self._pause(backoff, why)
        report(_NAME, "ended", why)

    def tell(self, llm: str, phase: str, why: str = "") -> None:
        """Say what phase the language model's server is in; a process that starts later is told too."""
        self._phase = {"llm": llm, "phase": phase, "why": why}
        if self._link:
            self._link.send(self._phase)

    async def hold(self, llm: str, why: str) -> None:
        """Wait until it is ready, say that the language model starts, and why, and wait until bulk work is held."""
        await self._ready.wait()
        self._held.clear()
        self.tell(llm, "starting", why)
        with suppress(TimeoutError):  # then the model's server starts beside the work
            async with asyncio.timeout(self._durations.held_s):
                await self._held.wait()

    async def end(self, hurry: asyncio.Event) -> None:
        """End it in order: it takes nobody on and finishes its answers."""
        if self._child and not await self._child.end(self._durations.serve_drain_s, hurry):
            report(_NAME, "killed", "it did not end by itself")

    async def _pause(self, backoff: Backoff, why: str) -> None:
        pause = backoff.pause_s(self._ready_for_s() or 0.0)
        loop = f", {backoff.in_a_row} times in a row" if backoff.is_crash_loop else ""
        report(_NAME, "crash loop" if loop else "down", f"{why}{loop}; next start in {pause:g} s")
        await asyncio.sleep(pause)

    async def _live(self) -> Exit:
        self._ready_at = None
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {**self._launch.environment, LINK_VARIABLE: str(theirs.fileno())}
            child = Child(replace(self._launch, environment=environment, descriptors=(theirs.fileno(),)))
        self._child = child
        self._record.write(child)
        report(_NAME, "starting", pid=child.pid)
        link = await Link.over(ours)
        tasks = [asyncio.create_task(self._listen(link)), asyncio.create_task(self._kill_if_late(child))]
        try:
            return await child.exited()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._forget(link, child)

    def _ready_for_s(self) -> float | None:
        return None if self._ready_at is None else time.monotonic() - self._ready_at

    def _forget(self, link: Link, child: Child) -> None:
        link.close()
        child.kill()
        self._record.remove()
        self._ready.clear()
        self._link = self._child = None

    async def _listen(self, link: Link) -> None:
        async for message in link.messages():
            match message:
                case {"ready": True}:
                    self._enter_ready(link)
                case {"held": True}:
                    self._held.set()
                case {"token_at": float(at)}:
                    self.token_at = max(self.token_at, at)

    def _enter_ready(self, link: Link) -> None:
        self._ready_at, self._link = time.monotonic(), link
        self._ready.set()
        report(_NAME, "ready")
        if self._phase:
            link.send(self._phase)

    async def _kill_if_late(self, child: Child) -> None:
        try:
            async with asyncio.timeout(self._durations.serve_ready_s):
                await self._ready.wait()
        except TimeoutError:
            report(_NAME, "killed", f"it was not ready within {self._durations.serve_ready_s:g} s")
            child.kill()
