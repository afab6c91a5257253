"""How many connections and collections there may be, by the files that the process may open and map: both are files."""

import resource
from pathlib import Path

_MOST = 10_000
# A collection keeps its database, its log and shared memory, a few times over for readers.
FILES_PER_COLLECTION = 16
# Segments of its words, six files each and three at most while it is small; shared memory of its log, and its rows.
MAPPINGS_PER_COLLECTION = 24
_MOST_MAPPINGS = Path("/proc/sys/vm/max_map_count")


def connections_by_files() -> int:
    """Half of what the process may open: the other half is for collections, models and language models."""
    return max(1, min(_MOST, _files() // 2))


def collections_by_files() -> int:
    """The other half, were every collection as busy as one can be."""
    return max(1, min(_MOST, _files() // 2 // FILES_PER_COLLECTION))


def collections_by_mappings() -> int:
    """Three quarters of what the process may map: libraries, threads and models have the rest."""
    granted = most_mappings()
    return _MOST if granted is None else max(1, min(_MOST, granted * 3 // 4 // MAPPINGS_PER_COLLECTION))


def most_mappings(path: Path = _MOST_MAPPINGS) -> int | None:
    """Parts of memory that the system lets one process map; None where it does not say."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * FILES_PER_COLLECTION * _MOST if soft == resource.RLIM_INFINITY else soft
