"""KeptLlm: the vLLM server of one language model, started again whenever it ends or freezes."""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

from service.up.backoff import Backoff
from service.up.canary import Canary
from service.up.child import Child, Launch
from service.up.durations import Durations
from service.up.events import report
from service.up.kept_serve import KeptServe
from service.up.log_file import LogFile
from service.up.managed_llm import ManagedLlm
from service.up.run_directory import RunDirectory
from service.up.vllm_flags import known_flags
from service.up.watch import Watch

_log = logging.getLogger("quarry.up")


class KeptLlm:
    """The process and what is known of it.

    Attributes:
        is_ending: it is not started again.

    Args:
        serve: is told each phase, and holds bulk work during each start.
    """

    def __init__(self, llm: ManagedLlm, serve: KeptServe, directory: RunDirectory, durations: Durations) -> None:
        self._llm = llm
        self._serve = serve
        self._directory = directory
        self._durations = durations
        self._name = f"llm-{llm.name}"
        self._log: LogFile = directory.log(self._name)
        self._child: Child | None = None
        self._watch: Watch | None = None
        self._last_end = ""
        self.is_ending = False

    async def keep(self) -> None:
        """Run it until it ends while ``is_ending``."""
        trimming = asyncio.create_task(self._keep_trimmed())
        backoff, why = Backoff(self._durations), ""
        try:
            while not self.is_ending:
                why = await self._lived()
                if not self.is_ending:
                    self._last_end = f"it ended: {why}"
                    await self._pause(backoff, why)
            report(self._name, "ended", why)
        finally:
            trimming.cancel()
            await asyncio.gather(trimming, return_exceptions=True)

    async def end(self, hurry: asyncio.Event) -> None:
        """End it in order, and kill it as the last resort."""
        if self._child and not await self._child.end(self._durations.llm_drain_s, hurry):
            report(self._name, "killed", "it did not end by itself")

    async def _pause(self, backoff: Backoff, why: str) -> None:
        pause = backoff.pause_s(self._ready_for_s())
        loop = f"; {backoff.in_a_row} times in a row" if backoff.is_crash_loop else ""
        self._tell("crash loop" if loop else "down", f"{why}{loop}; next start in {pause:g} s")
        await asyncio.sleep(pause)

    async def _lived(self) -> str:
        """One life; why it is over, or did not begin."""
        try:
            return await self._live()
        except Exception as error:  # a loop edge: whatever befalls the model's server, search goes on
            _log.exception("%s cannot be kept", self._name)
            return f"{type(error).__name__}: {error}"

    async def _live(self) -> str:
        self._watch = None
        flags = await known_flags(self._llm.executable, self._llm.environment, self._directory.flags)
        await self._serve.hold(self._llm.name, self._last_end)
        if self.is_ending:
            return "not started"
        child = self._started(flags)
        record = self._directory.record(self._name)
        record.write(child)
        self._child = child
        try:
            return await self._watched(child)
        finally:
            child.kill()
            await child.exited()
            self._child = None
            record.remove()
            self._llm.socket.unlink(missing_ok=True)

    def _started(self, flags: frozenset[str] | None) -> Child:
        self._llm.socket.parent.mkdir(parents=True, exist_ok=True)
        self._llm.socket.unlink(missing_ok=True)  # vLLM does not start on one that is there
        with self._log.opened() as output:
            child = Child(Launch(self._llm.command(flags), self._llm.environment, output))
        report(self._name, "starting", f"its output goes to {self._log.path}", pid=child.pid)
        return child

    async def _watched(self, child: Child) -> str:
        socket, model, key = self._llm.socket, self._llm.settings.model, self._llm.key
        async with Canary(socket, model, key, has_priorities=_has_priorities(child.command)) as canary:
            start_s = self._llm.managed.start_s
            watch = Watch(canary, self._durations, start_s, lambda: self._serve.token_at, self._tell)
            self._watch = watch
            watching, exiting = asyncio.create_task(watch.run()), asyncio.create_task(child.exited())
            try:
                await asyncio.wait({watching, exiting}, return_when=asyncio.FIRST_COMPLETED)
                if not exiting.done():
                    return watching.result()
                words = self._log.last_words()
                return f"{exiting.result()}{f': {words}' if words else ''}"
            finally:
                watching.cancel()
                exiting.cancel()
                await asyncio.gather(watching, exiting, return_exceptions=True)

    def _tell(self, phase: str, why: str) -> None:
        if self.is_ending:
            return  # an end in order looks like a freeze
        report(self._name, phase, why)
        self._serve.tell(self._llm.name, "down" if phase == "crash loop" else phase, why)

    def _ready_for_s(self) -> float:
        ready_at = self._watch.ready_at if self._watch else None
        return time.monotonic() - ready_at if ready_at is not None else 0.0

    async def _keep_trimmed(self) -> None:
        while True:
            await asyncio.sleep(self._durations.trim_every_s)
            with suppress(OSError):  # a full disk must not end the server; the next look tries again
                await asyncio.to_thread(self._log.trim)


def _has_priorities(command: Sequence[str]) -> bool:
    """The server schedules by priority: as we have it, unless the operator's own arguments say otherwise."""
    flags = " ".join(command).replace("--scheduling-policy=", "--scheduling-policy ").split()
    policies = [value for flag, value in pairwise(flags) if flag == "--scheduling-policy"]
    return policies[-1:] == ["priority"]
