"""Child: a process in a session of its own, from its start to its end."""

import asyncio
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.up.process_session import MARK_VARIABLE, kill_session, signal_process, start_time

_PRIVATE = 0o077
_MARK_BYTES = 16
_HURRIED_S = 5.0
_LOOK_S = 0.02
_DYING_S = 10.0  # what the kernel may take to free a card's memory


@dataclass(frozen=True, slots=True)
class Launch:
    """What is started, and what it inherits.

    Attributes:
        output: descriptor for its stdout and stderr; None shares those of this process.
        descriptors: more that it inherits, under the same numbers.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    output: int | None = None
    descriptors: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended; the code is negative for a signal, as ``subprocess`` has it."""

    code: int

    def __str__(self) -> str:
        if self.code >= 0:
            return f"exit code {self.code}"
        try:
            return f"killed by {signal.Signals(-self.code).name}"
        except ValueError:
            return f"killed by signal {-self.code}"


class Child:
    """A process that runs. It does not share this process's fate: nothing of it ends when this one does.

    Attributes:
        started: its start time, by which it is told from another one of the same id.
        mark: of this start, in its environment and in that of whatever it starts.
        output: path of the file it writes to; None where that is not a file of its own.
    """

    def __init__(self, launch: Launch) -> None:
        """Start the process.

        Raises:
            OSError: the executable cannot be run.
        """
        self.mark = secrets.token_hex(_MARK_BYTES)
        self.output = None if launch.output is None else os.readlink(f"/proc/self/fd/{launch.output}")
        self._process = subprocess.Popen(  # noqa: S603  the command is the operator's
            launch.command,
            env={**launch.environment, MARK_VARIABLE: self.mark},
            stdin=subprocess.DEVNULL,
            stdout=launch.output,
            stderr=launch.output,
            pass_fds=launch.descriptors,
            start_new_session=True,
            umask=_PRIVATE,
        )
        self.command = launch.command
        self.pid = self._process.pid
        self.started = start_time(self.pid) or ""
        self._exit: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._burying: asyncio.Task[None] | None = None
        try:
            self._descriptor = os.pidfd_open(self.pid)
        except OSError:  # too many open files: nobody would hear of its end, so it must not live
            kill_session(self.pid)
            self._process.wait()
            raise
        asyncio.get_running_loop().add_reader(self._descriptor, self._notice_end)

    async def exited(self) -> Exit:
        """Wait for the end of the process; what it brought with it is gone by then."""
        return await asyncio.shield(self._exit)

    def terminate(self) -> None:
        """Ask it to end."""
        if not self._exit.done():
            signal_process(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill it and all that it brought with it."""
        if not self._exit.done():
            kill_session(self.pid)

    async def end(self, within_s: float, hurry: asyncio.Event) -> bool:
        """Ask it to end, again when somebody is in a hurry, and kill it when it takes too long.

        Returns:
            Whether it ended by itself.
        """
        self.terminate()
        waits: set[asyncio.Task[object]] = {asyncio.create_task(self.exited()), asyncio.create_task(hurry.wait())}
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if hurry.is_set():
            self.terminate()
            await asyncio.wait({self._exit}, timeout=_HURRIED_S)
        is_by_itself = self._exit.done()
        self.kill()
        await self.exited()
        return is_by_itself

    def _notice_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._burying = asyncio.create_task(self._bury(), name=f"end of {self.pid}")

    async def _bury(self) -> None:
        """The leader is dead but not waited for, so that its id is still the session's and nobody else's."""
        give_up = time.monotonic() + _DYING_S
        while kill_session(self.pid) and time.monotonic() < give_up:  # noqa: ASYNC110  nothing announces it
            await asyncio.sleep(_LOOK_S)
        self._exit.set_result(Exit(self._process.wait()))
