"""CatalogPublisher: the task of a writer that tells replicas of its collections, by way of Milvus."""

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from indexes.catalog import Catalog
from indexes.errors import StoreUnavailableError

if TYPE_CHECKING:  # pymilvus is an extra
    from indexes.catalog_publication import CatalogPublication

LOOK_S = 2.0

_log = logging.getLogger("quarry.milvus")


class CatalogPublisher:
    """Publishes every change at once, and looks now and then whether it is still there; an async context manager.

    Args:
        look_s: between two looks: Milvus may have lost it, or another writer have put something else there.
    """

    def __init__(self, catalog: Catalog, publication: "CatalogPublication", look_s: float = LOOK_S) -> None:
        self._catalog = catalog
        self._publication = publication
        self._look_s = look_s
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """As ``MilvusWatch.trouble``; nothing before the first look."""
        return self._trouble

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._changed.set)

        self._catalog.on_change(wake)
        self._task = asyncio.create_task(self._publish_for_ever(), name="milvus-catalog")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._catalog.on_change(lambda: None)
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _publish_for_ever(self) -> None:
        while True:
            self._changed.clear()
            try:
                await asyncio.to_thread(self._publication.bring)
                self._trouble = None
            except StoreUnavailableError as error:
                if str(error) != self._trouble:
                    _log.error("replicas are not told of collections: %s", error)
                self._trouble = str(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._changed.wait()
