"""ProcessRecord: the file that tells the next parent what this one has started."""

import logging
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from service.up.child import Child
from service.up.process_session import members, orphans, signal_process, start_time

_LOOK_S = 0.05
_DYING_S = 10.0  # what the kernel may take to free a card's memory

_log = logging.getLogger("quarry.up")


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A file with the id and start time of one process, the leader of its session."""

    path: Path

    def write(self, child: Child) -> None:
        """Record a process that was just started. A full disk costs the record, not the process."""
        new = self.path.with_suffix(".new")
        told = {"pid": child.pid, "started": child.started, "mark": child.mark, "output": child.output}
        try:
            new.write_bytes(orjson.dumps(told))
            new.replace(self.path)
        except OSError as error:
            _log.warning("cannot record process %d in %s: %s", child.pid, self.path, error)

    def remove(self) -> None:
        """The process has ended."""
        self.path.unlink(missing_ok=True)

    def end_left_over(self, within_s: float) -> bool:
        """End the recorded process and its session, if it still runs, and what it started and left behind.

        An id alone says nothing: the leader must have the recorded start time, and others what ``orphans`` asks for.

        Returns:
            Whether there was anything.
        """
        found = self._left_over()
        if found is not None:
            _log.warning("ending what an earlier `quarry up` left behind: %s", found())
            _end(found, within_s)
        self.remove()
        return found is not None

    def _left_over(self) -> Callable[[], list[int]] | None:
        """What tells the processes that are still to be ended, the leader first; None where there are none."""
        match self._recorded():
            case {"pid": int(pid), "started": str(started)} if pid > 0 and start_time(pid) == started:
                return partial(members, pid)
            case {"pid": int(pid), "mark": str(mark), "output": str() | None as output} if pid > 0:
                survivors = partial(orphans, pid, mark, output)
                return survivors if survivors() else None
        return None

    def _recorded(self) -> object:
        try:
            return orjson.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            _log.warning("%s is no record of a process; nothing is ended by it", self.path)
            return None


def _end(running: Callable[[], list[int]], within_s: float) -> None:
    """Ask the first of them to end, which is the leader where it still leads, then kill what is left."""
    for pid in running()[:1]:
        signal_process(pid, signal.SIGTERM)
    give_up = time.monotonic() + within_s
    while running() and time.monotonic() < give_up:
        time.sleep(_LOOK_S)  # before the event loop runs: there is nothing else to do
    give_up = time.monotonic() + _DYING_S
    while (left := running()) and time.monotonic() < give_up:
        for pid in left:
            signal_process(pid, signal.SIGKILL)
        time.sleep(_LOOK_S)
