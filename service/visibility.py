"""Visibility: what of a collection exists for a caller. Reads the store, so on a thread."""

from dataclasses import dataclass

from indexes.base import Document
from indexes.collection import Collection
from indexes.document_rows import Entry
from indexes.errors import DocumentNotFoundError
from service.access.rights import Rights


@dataclass(frozen=True, slots=True)
class Visible:
    """A collection as whoever has ``rights`` knows it."""

    collection: Collection
    rights: Rights

    def document(self, document_id: str) -> Document:
        """The document with its text.

        Raises:
            DocumentNotFoundError: there is none of that id, or it does not exist for the caller.
        """
        document = self.collection.document(document_id)
        if not self.rights.sees(document.metadata):
            raise DocumentNotFoundError(document_id)
        return document

    def documents(self, after: str, limit: int) -> list[Entry]:
        """(id, title, url, metadata) of up to ``limit`` documents with an id above ``after``, by id."""
        return self.collection.documents(after, limit, self.rights.filter)
