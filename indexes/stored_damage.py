"""Documents that the store does not give back as they were stored: who they are, and what to do about them."""

from collections.abc import Sequence

import numpy as np

from indexes.base import RowIds
from indexes.generation import NO_ROWS
from indexes.rows import Rows
from indexes.store import Store

_MOST_NAMED = 10
_REMEDY = "delete and put again, or restore a backup"  # a put alone would find that nothing has changed


class StoredDamage:
    """Vectors that the store has otherwise than it was given them, as far as they were looked at.

    Args:
        is_unknown: there are rows that nobody has looked at.
    """

    def __init__(self, store: Store, *, is_unknown: bool) -> None:
        self._store = store
        self._rows: RowIds = NO_ROWS
        self.is_unknown = is_unknown

    def look(self) -> None:
        """Read every vector.

        Raises:
            StoreUnavailableError: it cannot be read.
        """
        found = [block.ids[block.damaged()] for block in self._store.scan_vectors()]
        self.note(np.concatenate([NO_ROWS, *found]))

    def note(self, rows: RowIds) -> None:
        """These are damaged, and no others."""
        self._rows, self.is_unknown = rows, False

    def said(self, memory: Rows) -> list[str]:
        """What there is to say, until the documents are gone: then their rows are not alive in memory either."""
        return vector_damage(self._store, memory.living(self._rows))


def vector_damage(store: Store, rows: RowIds) -> list[str]:
    """What is said of rows with a damaged vector, unless there are none."""
    documents = store.documents_of(rows) if len(rows) else []
    if not documents:
        return []
    return [f"the store: {len(rows)} stored vectors are damaged, of document {named(documents)}: {_REMEDY}"]


def document_damage(store: Store) -> list[str]:
    """What is said of documents whose text, metadata or chunks are damaged, if there are some; all are read."""
    documents = store.damaged_documents()
    return [f"the store: what is stored of document {named(documents)} is damaged: {_REMEDY}"] if documents else []


def named(documents: Sequence[str]) -> str:
    """Some of their ids, and how many more there are."""
    shown, more = documents[:_MOST_NAMED], len(documents) - _MOST_NAMED
    return ", ".join(map(repr, shown)) + (f" and {more} more" if more > 0 else "")
