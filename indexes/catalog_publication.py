"""CatalogPublication: what replicas are told of a writer's catalogue, kept at what it is."""

import uuid
from collections.abc import Mapping

from indexes.catalog import Catalog
from indexes.errors import MilvusUnavailableError
from indexes.milvus_client import MilvusServer
from indexes.milvus_index import MOST_FOUND
from indexes.published_entry import (
    MARK,
    PublishedAlias,
    PublishedCollection,
    PublishedEntry,
    PublishedMark,
    catalog_name,
    written,
)


class CatalogTakenError(MilvusUnavailableError):
    """Another writer has published in the place of this one since."""


class CatalogPublication:
    """Of one catalogue, by one process; one call at a time.

    At its start a writer takes the place over, whoever published there. Whom another has followed publishes no more:
    of two that publish under one name the one that was started last is heard, and the other says so.

    Args:
        name: that settings give it.
    """

    def __init__(self, catalog: Catalog, server: MilvusServer, name: str) -> None:
        self._catalog = catalog
        self._table = server.catalog_table(catalog_name(name))
        self._mark = PublishedMark(uuid.uuid4().hex, 0)
        self._published: Mapping[str, str] | None = None

    def bring(self) -> bool:
        """Have what is published be what the catalogue has.

        Returns:
            Whether anything had to be written.

        Raises:
            MilvusUnavailableError: it may not be.
            CatalogTakenError: another writer is heard by now.
        """
        mark = PublishedMark.read(self._table.record(MARK))
        if self._published is not None and mark is not None and mark.writer != self._mark.writer:
            raise CatalogTakenError(
                f"another writer publishes in {self._table.name} since: give each of them an index.milvus.catalog of "
                "its own, and start this one again"
            )
        wanted = self._wanted()
        if mark == self._mark and wanted == self._published:
            return False
        self._write(wanted)
        return True

    def _write(self, wanted: Mapping[str, str]) -> None:
        """The mark comes last: whoever has read it reads all that was written before it."""
        there = self._table.records()
        damaged = set(self._catalog.damaged())  # what was published of them may still be searched
        changed = {name: record for name, record in wanted.items() if there.get(name) != record}
        gone = [name for name in there if name not in wanted and name not in damaged and name != MARK]
        if changed:
            self._table.put(changed)
        if gone:
            self._table.remove(gone)
        mark = PublishedMark(self._mark.writer, self._mark.number + 1)
        self._table.put({MARK: mark.written()})
        self._mark, self._published = mark, wanted

    def _wanted(self) -> dict[str, str]:
        """Records of the collections that replicas can search, whose places are there, and of their aliases."""
        entries = dict[str, PublishedEntry]()
        for name, collection in self._catalog.primaries().items():
            if collection.place is not None:
                collection.make_place()
                preferences = self._catalog.preferences(name)
                entries[name] = PublishedCollection(collection.identity, collection.place, collection.spec, preferences)
        named = {alias: name for alias, name in self._catalog.aliases().items() if name in entries}
        entries |= {alias: PublishedAlias(name) for alias, name in named.items()}
        if len(entries) >= MOST_FOUND:
            raise MilvusUnavailableError(f"{len(entries)} names are to be published; the limit is {MOST_FOUND - 1}")
        return {name: written(entry) for name, entry in entries.items()}
