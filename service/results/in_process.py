"""InProcessResults: results in the memory of this process."""

import time
from collections.abc import Callable

from cachetools import TTLCache

from service.telemetry.results import Lookup, ResultMetrics

# What an entry takes beside its name and its value: the links of the cache.
_OVERHEAD_BYTES = 512


class InProcessResults:
    """As ``ResultStore``; the least recently used go first.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(
        self, max_bytes: int, seconds: float, metrics: ResultMetrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics = metrics
        self._values: TTLCache[str, bytes] = TTLCache(
            max_bytes, seconds, timer=clock, getsizeof=lambda value: len(value) + _OVERHEAD_BYTES
        )

    @property
    def size_bytes(self) -> int:
        """Memory of all that is remembered."""
        return int(self._values.currsize)

    async def get(self, name: str) -> bytes | Lookup:
        """As ``ResultStore.get``."""
        return self._values.get(name, "miss")

    async def put(self, name: str, value: bytes) -> None:
        """As ``ResultStore.put``."""
        if len(value) + _OVERHEAD_BYTES <= self._values.maxsize:
            self._values[name] = value
            self._metrics.bytes.set(self.size_bytes)
