"""A store and its lexical index, without a collection around them."""

from pathlib import Path

import numpy as np

from indexes.base import Chunk, Document, RowIds
from indexes.lexical import LexicalIndex
from indexes.store import Store


class LexicalUnderTest:
    """Written to as the writer thread does.

    Attributes:
        texts: of the documents that are there, by id.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.store = Store(folder / "store.db")
        self.lexical = self.opened()
        self.texts: dict[str, str] = {}

    def opened(self) -> LexicalIndex:
        """The index as it is on the disk."""
        return LexicalIndex(self.store, self.folder / "lexical", "unicode")

    def reopen(self) -> None:
        """As a start after a kill: nothing is brought to the disk before."""
        self.lexical.close()
        self.lexical = self.opened()

    def put(self, name: str, *texts: str) -> None:
        """A document with a chunk for each text."""
        chunks = [Chunk(name, n, text, 0, 1) for n, text in enumerate(texts)]
        document = Document(name, "", " ".join(texts), {}, None, "text", b"")
        vectors = np.ones((len(chunks), 4), dtype=np.float32)
        with self.store.database.write_connection as connection:
            change = self.store.put(connection, document, chunks, vectors, seq=self.store.version() + 1)
        self.lexical.add(change.added.tolist(), self.lexical.words_of("", chunks))
        self.lexical.remove(change.removed)
        self.texts[name] = " ".join(texts)

    def delete(self, name: str) -> None:
        """Whether it is there or not."""
        with self.store.database.write_connection as connection:
            change = self.store.delete(connection, name, seq=self.store.version() + 1)
        self.lexical.remove(change.removed)
        self.texts.pop(name, None)

    def found(self, word: str) -> set[str]:
        """Documents that are there and have the word."""
        assert self.lexical.absence is None
        rows, _ = self.lexical.view.best([word], 10_000)
        assert len(set(rows.tolist())) == len(rows)
        return set(self.store.documents_of(rows))

    def stored(self) -> RowIds:
        """Every row, ascending."""
        with self.store.snapshot() as snapshot:
            return snapshot.row_ids()

    def close(self) -> None:
        """Both."""
        self.lexical.close()
        self.store.close()
