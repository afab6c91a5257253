"""QueryCache: vectors of queries that were asked before."""

from dataclasses import dataclass

from cachetools import LRUCache

from models.base import Vectors
from service.telemetry.device import DeviceMetrics

# The realm that asked, as a fast reply would tell another what was asked before; then the fingerprint of the model, its
# precision, its prompt for queries, the text.
QueryKey = tuple[str, str, str, str, str]
# What an entry takes beside its text and its vector: the tuples, the array's header, the cache's links.
_OVERHEAD_BYTES = 512


@dataclass(frozen=True, slots=True)
class CachedQuery:
    """A ``(dimension,)`` float32 vector, not to be written to, and the tokens its text has."""

    vector: Vectors
    tokens: int
    size_bytes: int


class QueryCache:
    """The least recently used entries go first. For the event loop only.

    Args:
        max_bytes: of texts and vectors together; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int, metrics: DeviceMetrics) -> None:
        self._metrics = metrics
        self._entries: LRUCache[QueryKey, CachedQuery] = LRUCache(max_bytes, getsizeof=lambda entry: entry.size_bytes)

    @property
    def size_bytes(self) -> int:
        """Memory of all entries."""
        return int(self._entries.currsize)

    def __contains__(self, key: QueryKey) -> bool:
        return key in self._entries

    def get(self, key: QueryKey) -> CachedQuery | None:
        """The entry of a query, or None."""
        found = self._entries.get(key)
        self._metrics.cache_lookups.labels("hit" if found else "miss").inc()
        return found

    def put(self, key: QueryKey, vector: Vectors, tokens: int) -> None:
        """Keep a vector, unless it alone is larger than the whole cache."""
        kept = vector.copy()  # the caller's may be a row of a large array
        kept.flags.writeable = False
        entry = CachedQuery(kept, tokens, _OVERHEAD_BYTES + kept.nbytes + sum(len(part.encode()) for part in key))
        if entry.size_bytes <= self._entries.maxsize:
            self._entries[key] = entry
            self._metrics.cache_bytes.set(self.size_bytes)
