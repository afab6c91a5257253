"""What the system lets one process have."""

import resource
from collections.abc import Iterator
from pathlib import Path

import psutil

from indexes.memory import available_bytes
from service.doctor.check import Finding, failure, ok, warning
from service.file_shares import FILES_PER_COLLECTION, MAPPINGS_PER_COLLECTION
from service.settings import Settings

_GIB = 1 << 30
# Open beside connections and collections: libraries, logs, the event loop, pipes.
_BASE_FILES = 128
# Mapped beside collections: libraries, threads, models.
_BASE_MAPPINGS = 8192
# Clients that are connected at once, where no setting says how many may be.
_CONNECTIONS = 512
# For the embedding model, its libraries and a small index.
_LEAST_MEMORY = 2 * _GIB
_CGROUP = Path("/sys/fs/cgroup")


def look_at_files(settings: Settings, collections: int) -> Iterator[Finding]:
    """RLIMIT_NOFILE against what a full server opens. The hard one counts: a server takes all that it is granted."""
    needed = needed_files(settings, collections)
    _, granted = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = "without a limit" if granted == resource.RLIM_INFINITY else f"{granted}"
    if granted == resource.RLIM_INFINITY or granted >= needed:
        yield ok("open files", f"{said}, of which about {needed} may be needed")
        return
    found = f"the hard limit is {granted}, and about {needed} may be needed"
    advice = f"ulimit -H -n {needed}, or LimitNOFILE={needed} in the unit"
    yield failure("open files", found, advice) if granted < needed // 2 else warning("open files", found, advice)


def needed_files(settings: Settings, collections: int) -> int:
    """Descriptors of a server under load: its own, those of collections, clients and streams of answers."""
    streams = sum(llm.max_streams * len(settings.llm_urls(name)) for name, llm in settings.llm.items())
    connections = settings.server.max_connections or _CONNECTIONS
    return _BASE_FILES + FILES_PER_COLLECTION * collections + connections + streams


def look_at_mappings(collections: int, granted: int | None) -> Iterator[Finding]:
    """vm.max_map_count against what a server maps: past it neither memory nor a thread can be had.

    Args:
        granted: that; None where the system does not say.
    """
    needed = _BASE_MAPPINGS + MAPPINGS_PER_COLLECTION * collections
    if granted is None or granted >= needed:
        yield ok("mapped files", f"{'unknown' if granted is None else granted}, of which about {needed} may be needed")
    else:
        advice = f"sysctl -w vm.max_map_count={needed}"
        yield warning("mapped files", f"the limit is {granted}, and about {needed} may be needed", advice)


def look_at_memory(cgroup: Path = _CGROUP) -> Iterator[Finding]:
    """The machine's, and the control group's limit."""
    total, free, limit = psutil.virtual_memory().total, available_bytes(cgroup), _limit(cgroup)
    said = "no limit by a control group" if limit is None else f"the control group allows {limit / _GIB:.1f} GiB"
    found = f"{free / _GIB:.1f} of {total / _GIB:.1f} GiB are free, {said}"
    if free < _LEAST_MEMORY:
        yield warning("memory", found, f"give it {_LEAST_MEMORY // _GIB} GiB at least: model and index live in memory")
    else:
        yield ok("memory", found)


def _limit(cgroup: Path) -> int | None:
    try:
        text = (cgroup / "memory.max").read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
