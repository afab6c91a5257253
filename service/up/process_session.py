"""Process sessions: who a process is, and every process that it brought with it."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

# In the environment of all that a parent starts, and of what those start: the mark of that one start.
MARK_VARIABLE = "STARTED_BY_QUARRY_UP"
_OUTPUTS = (1, 2)
_START_TIME = 19  # of the fields after the command's name, which may hold spaces
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def start_time(pid: int) -> str | None:
    """When a process began, as the kernel has it; None where there is none of that id.

    psutil's ``create_time`` moves with the clock, and a clock that was set between two starts of this program would
    hide a process from it.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return f"{_BOOT_ID.read_text().strip()}:{stat.rpartition(')')[2].split()[_START_TIME]}"


def members(session: int) -> list[int]:
    """The processes of a session that still run, its leader first."""
    return sorted((pid for pid in psutil.pids() if _is_member(pid, session)), key=lambda pid: pid != session)


def orphans(session: int, mark: str, output: str | None) -> list[int]:
    """Members of a session whose leader is gone, of one start alone.

    The kernel gives the id of a session to no other process while the session has members, but it may have ended and
    been followed by a stranger's. So each must carry the mark of the start, or write to the file that only that start
    was given: a process that sets its title wipes its environment out.
    """
    if start_time(session) is not None:
        return []
    return [pid for pid in members(session) if _has_mark(pid, mark) or _writes_to(pid, output)]


def _has_mark(pid: int, mark: str) -> bool:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # gone, or another user's
        return False
    return f"{MARK_VARIABLE}={mark}".encode() in variables


def _writes_to(pid: int, output: str | None) -> bool:
    for descriptor in _OUTPUTS if output else ():
        with suppress(OSError):
            if os.readlink(f"/proc/{pid}/fd/{descriptor}") == output:
                return True
    return False


def kill_session(session: int) -> bool:
    """Kill every process of a session that is found; one that forks meanwhile is found the next time.

    Returns:
        Whether there were any. They are gone when there is none.
    """
    running = members(session)
    for pid in running:
        signal_process(pid, signal.SIGKILL)
    return bool(running)


def signal_process(pid: int, number: signal.Signals) -> None:
    """Send a signal; one that comes too late is none, nor is one to a process that has become another user's."""
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _is_member(pid: int, session: int) -> bool:
    try:
        return os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
