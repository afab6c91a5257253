"""How many connections and collections there may be, by the files that the process may open: both are files."""

import resource

_MOST = 10_000
# A collection keeps its database, its log and shared memory, a few times over for readers.
FILES_PER_COLLECTION = 16


def connections_by_files() -> int:
    """Half of what the process may open: the other half is for collections, models and language models."""
    return max(1, min(_MOST, _files() // 2))


def collections_by_files() -> int:
    """The other half, were every collection as busy as one can be."""
    return max(1, min(_MOST, _files() // 2 // FILES_PER_COLLECTION))


def _files() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * FILES_PER_COLLECTION * _MOST if soft == resource.RLIM_INFINITY else soft
