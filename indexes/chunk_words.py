"""ChunkWords: the words of chunks, those of a document that is being written and those that the store has."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from indexes.analysis import Analyzer
from indexes.base import Chunk
from indexes.counted_words import CountedWords, Passage, counted_words
from indexes.errors import LexicalError
from indexes.lexical_text import lexical_text
from indexes.newest_rows import NewestRows
from indexes.store import Store

Row = TypeVar("Row")


class ChunkWords:
    """For any thread.

    Args:
        store: that has the chunks.
        analyzer: of its language.
        closing: set once nobody wants them any more.
    """

    def __init__(self, store: Store, analyzer: Analyzer, closing: threading.Event) -> None:
        self._store = store
        self._analyzer = analyzer
        self._closing = closing

    def of_text(self, text: str) -> Sequence[str]:
        """As ``Analyzer.terms``."""
        return self._analyzer.terms(text)

    def of_chunks(self, title: str, chunks: Sequence[Chunk]) -> CountedWords:
        """Of each chunk of a document; the title and each headings that are above chunks are read once."""
        paths = {chunk.heading_path for chunk in chunks}
        above = {path: Passage(self.of_text(lexical_text(title, path, ""))) for path in paths}
        return counted_words((above[chunk.heading_path], Passage(self.of_text(chunk.text))) for chunk in chunks)

    def entries(self, texts: Iterable[tuple[int, str]]) -> Iterator[tuple[int, int, str]]:
        """(row, words, text of them) of each (row, text)."""
        for row, text in texts:
            words = self.of_text(text)
            yield row, len(words), " ".join(words)

    def above(self, row: int, block_rows: int) -> NewestRows:
        """Of every row that the store has above that one, so many read at once.

        Raises:
            LexicalError: nobody wants them any more.
            StoreUnavailableError: the store cannot be read.
        """
        found = NewestRows()
        while texts := self._store.texts(max(row, found.last_row), block_rows):
            words = self.while_wanted([Passage(self.of_text(text))] for _, text in texts)
            found.extend([each for each, _ in texts], counted_words(words))
        return found

    def while_wanted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Them, so that whoever closes waits for one row and not for thousands.

        Raises:
            LexicalError: nobody wants them any more.
        """
        for row in rows:
            if self._closing.is_set():
                raise LexicalError("the lexical index was closed")
            yield row
