"""Process sessions: who a process is, and every process that it brought with it."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

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
    """The processes of a session that still run."""
    return [pid for pid in psutil.pids() if _is_member(pid, session)]


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
