"""ReplicaCatalog: the collections that a writer has published, as far as this process has read of them."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from indexes.errors import CollectionNotFoundError, MilvusUnavailableError, StoreUnavailableError
from indexes.milvus_reading import MilvusReader
from indexes.named import Named
from indexes.published_entry import MARK, PublishedAlias, PublishedEntry, catalog_name, read
from indexes.replica_collection import ReplicaCollection

_log = logging.getLogger("quarry.replica")


@dataclass(frozen=True, slots=True)
class _Names:
    """All that is known, replaced as a whole."""

    collections: Mapping[str, ReplicaCollection] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)  # name -> why nothing can be made of its record


class ReplicaCatalog:
    """What was read last holds until something else is read. Every method may be called from any thread.

    Args:
        catalog: that settings name.
    """

    def __init__(self, reader: MilvusReader, catalog: str) -> None:
        self._reader = reader
        self._records = reader.catalog_rows(catalog_name(catalog))
        self._names = _Names()
        self._mark: str | None = None
        self._looking = threading.Lock()

    def look(self) -> None:
        """Read what is published, if that is something else than before.

        Raises:
            MilvusUnavailableError: Milvus did not answer, or no writer has published anything yet.
        """
        with self._looking:
            mark = self._records.record(MARK)
            if mark is None:
                raise MilvusUnavailableError(
                    f"the writer has not yet published all of its collections in {self._records.name}"
                )
            if mark != self._mark:
                self._names = self._read(self._records.records())
                self._mark = mark

    def __contains__(self, name: str) -> bool:
        names, name = self._names, self._resolved(name)
        return name in names.collections or name in names.damaged

    def route(self, name: str) -> Named:
        """As ``QueriedCatalog.route``.

        Raises:
            CollectionNotFoundError: nothing of that name is known.
            StoreUnavailableError: its record is of another program.
        """
        names, name = self._names, self._resolved(name)
        if name in names.damaged:
            raise StoreUnavailableError(f"collection {name!r} cannot be read here: {names.damaged[name]}")
        collection = names.collections.get(name)
        if collection is None:
            raise CollectionNotFoundError(name)
        return Named(name, collection)

    def names(self) -> list[str]:
        """As ``QueriedCatalog.names``."""
        names = self._names
        return sorted([*names.collections, *names.damaged])

    def damaged(self) -> list[str]:
        """As ``QueriedCatalog.damaged``."""
        return sorted(self._names.damaged)

    def aliases(self) -> dict[str, str]:
        """As ``QueriedCatalog.aliases``."""
        return dict(sorted(self._names.aliases.items()))

    def preference(self, name: str, key: str) -> str | None:
        """As ``QueriedCatalog.preference``."""
        collection = self._names.collections.get(self._resolved(name))
        return collection.published.preferences.get(key) if collection else None

    def _resolved(self, name: str) -> str:
        return self._names.aliases.get(name, name)

    def _read(self, records: Mapping[str, str]) -> _Names:
        entries, damaged = dict[str, PublishedEntry](), dict[str, str]()
        for name, record in records.items():
            try:
                if name != MARK:
                    entries[name] = read(record)
            except StoreUnavailableError as error:
                _log.error("collection %s: %s", name, error)
                damaged[name] = str(error)
        collections = {
            name: self._collection(name, entry)
            for name, entry in entries.items()
            if not isinstance(entry, PublishedAlias)
        }
        aliases = {name: entry.collection for name, entry in entries.items() if isinstance(entry, PublishedAlias)}
        return _Names(collections, aliases, damaged)

    def _collection(self, name: str, entry: PublishedEntry) -> ReplicaCollection:
        """The one that is known, where nothing about it has changed."""
        assert not isinstance(entry, PublishedAlias)  # noqa: S101  the caller has looked
        known = self._names.collections.get(name)
        if known is not None and known.published == entry:
            return known
        if known is not None and (known.identity, known.published.place) == (entry.identity, entry.place):
            return known.as_published(entry)
        return ReplicaCollection(entry, self._reader.rows(entry.place, entry.spec), self._look_again)

    def _look_again(self) -> None:
        """What failed may be because of what is read now; if this fails as well, it is because of Milvus."""
        try:
            self.look()
        except MilvusUnavailableError as error:
            _log.warning("what is published cannot be read: %s", error)
