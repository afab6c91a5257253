"""How much memory this process may still take, asked before something large is built beside what it will replace."""

from pathlib import Path

import psutil

from indexes.errors import InsufficientMemoryError

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """Memory that can be had without swapping: the machine's, or what is left of the control group's limit."""
    available = int(psutil.virtual_memory().available)
    left = _cgroup_left(cgroup)
    return available if left is None else min(available, left)


def require_memory(wanted: int, purpose: str, available: int) -> None:
    """Refuse what would not fit.

    Raises:
        InsufficientMemoryError: ``wanted`` bytes are more than ``available``.
    """
    if wanted > available:
        raise InsufficientMemoryError(f"{purpose} needs {wanted} bytes beside what it replaces; {available} are free")


def _cgroup_left(cgroup: Path) -> int | None:
    """Of control groups version 2; None without a limit."""
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        inactive = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    # Pages of files that nobody has used for a while are given back on demand.
    return max(0, int(limit) - used + int(inactive.get("inactive_file", 0)))
