"""ResultStore: where results are remembered, in this process or for several."""

from typing import Protocol

from service.telemetry.results import Lookup


class ResultStore(Protocol):
    """Bytes by name, bounded by bytes and by time; for the event loop."""

    async def get(self, name: str) -> bytes | Lookup:
        """What is remembered, or why nothing is."""

    async def put(self, name: str, value: bytes) -> None:
        """Remember it, unless it alone is too large, or nobody takes it."""
