"""CatalogFollower: the task of a replica that keeps its names at what the writer has published."""

import asyncio
import logging
from typing import TYPE_CHECKING, Self

from indexes.errors import MilvusUnavailableError

if TYPE_CHECKING:  # pymilvus is an extra
    from indexes.replica_catalog import ReplicaCatalog

LOOK_S = 1.0

# Names that nobody knows are looked for at once, but not more often than this.
_LEAST_S = 0.1

_log = logging.getLogger("quarry.milvus")


class CatalogFollower:
    """Looks every so often, and when a name is asked for that is not known; an async context manager.

    Args:
        look_s: between two looks.
    """

    def __init__(self, catalog: "ReplicaCatalog", look_s: float = LOOK_S) -> None:
        self._catalog = catalog
        self._look_s = look_s
        self._looking = asyncio.Lock()
        self._looked_at = -_LEAST_S
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = "nothing is known of it yet"

    @property
    def trouble(self) -> str | None:
        """As ``MilvusWatch.trouble``."""
        return self._trouble

    async def __aenter__(self) -> Self:
        await self.look()
        self._task = asyncio.create_task(self._follow(), name="milvus-catalog")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def look(self) -> None:
        """Take over what is published; where it cannot be read, what is known stays."""
        async with self._looking:
            await self._look()

    async def seek(self, name: str) -> None:
        """Return when a name is known, or was looked for."""
        if name in self._catalog:
            return
        async with self._looking:  # whoever waits here is often told by the look of another
            is_fresh = asyncio.get_running_loop().time() - self._looked_at < _LEAST_S
            if name not in self._catalog and not is_fresh:
                await self._look()

    async def _look(self) -> None:
        try:
            await asyncio.to_thread(self._catalog.look)
            self._trouble = None
        except MilvusUnavailableError as error:
            if str(error) != self._trouble:
                _log.error("what the writer publishes cannot be read, and what was known is kept: %s", error)
            self._trouble = str(error)
        self._looked_at = asyncio.get_running_loop().time()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._look_s)
            await self.look()
