"""How much memory this process may still take, asked before something large is built beside what it will replace."""

import ctypes
from dataclasses import dataclass
from pathlib import Path

import psutil

from indexes.errors import InsufficientMemoryError

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class HostMemory:
    """Bytes.

    Attributes:
        used: that cannot be had any more, whoever holds them; pages of files that the system drops on demand can.
        limit: that there are.
    """

    used: int
    limit: int


def host_memory(cgroup: Path = _CGROUP) -> HostMemory:
    """Of the machine or of the control group, whichever is fuller: it is where the system would kill first."""
    machine = psutil.virtual_memory()
    whole = HostMemory(int(machine.total - machine.available), int(machine.total))
    group = _cgroup_memory(cgroup)
    return whole if group is None else max(whole, group, key=lambda memory: memory.used / memory.limit)


def give_back_freed() -> None:
    """Have the C library return to the system what was freed and it keeps: it would count as taken for ever.

    It holds up whoever allocates in one of its arenas for some milliseconds. Nothing where it is not glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


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
    group = _Group.read(cgroup)
    if group is None:
        return None
    # Pages of files that nobody has used for a while are given back on demand.
    return max(0, group.limit - group.current + group.of_kind.get("inactive_file", 0))


def _cgroup_memory(cgroup: Path) -> HostMemory | None:
    """None without a limit. Pages of files fill a group in time, and are dropped before anything fails."""
    group = _Group.read(cgroup)
    if group is None:
        return None
    on_demand = sum(group.of_kind.get(kind, 0) for kind in ("inactive_file", "active_file", "slab_reclaimable"))
    return HostMemory(max(0, group.current - on_demand), group.limit)


@dataclass(frozen=True, slots=True)
class _Group:
    """What the files of a control group say."""

    limit: int
    current: int
    of_kind: dict[str, int]

    @classmethod
    def read(cls, cgroup: Path) -> "_Group | None":
        """None where there is none of version 2, or no limit."""
        try:
            limit = (cgroup / "memory.max").read_text().strip()
            current = int((cgroup / "memory.current").read_text())
            lines = [line.split() for line in (cgroup / "memory.stat").read_text().splitlines()]
            return None if limit == "max" else cls(int(limit), current, {kind: int(size) for kind, size in lines})
        except (OSError, ValueError):
            return None
