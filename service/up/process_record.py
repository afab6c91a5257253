"""ProcessRecord: the file that tells the next parent what this one has started."""

import logging
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from service.up.child import Child
from service.up.process_session import kill_session, members, signal_process, start_time

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
        try:
            new.write_bytes(orjson.dumps({"pid": child.pid, "started": child.started}))
            new.replace(self.path)
        except OSError as error:
            _log.warning("cannot record process %d in %s: %s", child.pid, self.path, error)

    def remove(self) -> None:
        """The process has ended."""
        self.path.unlink(missing_ok=True)

    def end_left_over(self, within_s: float) -> bool:
        """End the recorded process and its session, if it still runs; its id alone says nothing.

        Returns:
            Whether there was one.
        """
        pid = self._left_over()
        if pid is not None:
            _log.warning("ending process %d, which an earlier `quarry up` left behind", pid)
            _end_session(pid, within_s)
        self.remove()
        return pid is not None

    def _left_over(self) -> int | None:
        """The recorded process, if it is still the same one."""
        try:
            recorded = orjson.loads(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError:
            _log.warning("%s is no record of a process; nothing is ended by it", self.path)
            return None
        match recorded:
            case {"pid": int(pid), "started": str(started)} if pid > 0 and start_time(pid) == started:
                return pid
        return None


def _end_session(pid: int, within_s: float) -> None:
    signal_process(pid, signal.SIGTERM)
    give_up = time.monotonic() + within_s
    while members(pid) and time.monotonic() < give_up:
        time.sleep(_LOOK_S)  # before the event loop runs: there is nothing else to do
    give_up = time.monotonic() + _DYING_S
    while kill_session(pid) and time.monotonic() < give_up:
        time.sleep(_LOOK_S)
