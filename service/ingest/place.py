"""Place: where a write stands in the order in which writes were accepted."""

from collections.abc import Mapping
from typing import Any

from indexes.collection import Collection
from indexes.errors import CollectionNotFoundError
from indexes.reembeddings import Route


class Place:
    """A write's place in the order in which writes to ``name`` were accepted.

    Attributes:
        ticket: higher than that of every write accepted before.
        collection: the one in whose order it has its number; None before it has one.
        seq: that number.
        former: collections that had the name before, with the number there.
    """

    def __init__(self, name: str, ticket: int) -> None:
        self.name = name
        self.ticket = ticket
        self.collection: Collection | None = None
        self.seq = 0
        self.former: list[tuple[Collection, int]] = []

    def take(self, collection: Collection) -> None:
        """Go to the end of the order of writes to ``collection``."""
        if self.collection is not None:
            self.former.append((self.collection, self.seq))
        self.collection, self.seq = collection, collection.accept()

    def keep(self, collection: Collection, seq: int) -> None:
        """Have the number again that it had before a restart."""
        self.collection, self.seq = collection, seq

    def in_order_of(self, collection: Collection) -> int:
        """Its number there.

        Raises:
            CollectionNotFoundError: it has none, as the collection it was accepted for was deleted since.
        """
        if self.collection is not collection:
            raise CollectionNotFoundError(self.name)
        return self.seq

    def is_overtaken(self, route: Route, document_id: str, metadata: Mapping[str, Any]) -> bool:
        """Whether a write here would change nothing, as one that was accepted after it has been applied."""
        now = self.collection
        if now is not None and now in route.collections and now.is_overtaken(document_id, metadata, self.seq):
            return True
        return self.was_overtaken(route, document_id, metadata)

    def was_overtaken(self, route: Route, document_id: str, metadata: Mapping[str, Any] | None) -> bool:
        """Whether that happened before the name moved, as the collection knows that had it and has it no more."""
        there = [(collection, seq) for collection, seq in self.former if collection in route.collections]
        return any(collection.is_overtaken(document_id, metadata, seq) for collection, seq in there)
