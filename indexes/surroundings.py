"""The text around a chunk, as its document has it."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from indexes.store_snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """A chunk by its row, and where it stands in its document."""

    row: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """A stretch of a document with a chunk in it: ``text == document.text[start:end]``.

    Attributes:
        chunks: that it is made of, in their order.
    """

    start: int
    text: str
    chunks: tuple[ChunkSpan, ...]

    @property
    def end(self) -> int:
        """Offset in the document after its last character."""
        return self.start + len(self.text)


def surroundings(snapshot: Snapshot, rows: Sequence[int], reach: int) -> dict[int, Surroundings]:
    """Each chunk with up to ``reach`` neighbours on either side, by row; without those that the store does not have.

    Only what is on the same page and below the same headings counts as a neighbour, so that what is known of the chunk
    holds for all of it.

    Raises:
        sqlite3.Error: the store cannot be read.
    """
    found = ((row, _around(snapshot.connection, row, reach)) for row in rows)
    return {row: around for row, around in found if around is not None}


def _around(connection: sqlite3.Connection, row: int, reach: int) -> Surroundings | None:
    # A document's chunks have consecutive rows, in their order: one transaction wrote them.
    near = connection.execute(
        "SELECT row, start, end, document, heading_path, page FROM chunks WHERE row BETWEEN ? AND ?",
        (row - reach, row + reach),
    )
    spans, places = {}, {}
    for each, start, end, *place in near:
        spans[each], places[each] = (start, end), place
    if row not in places:
        return None
    first = last = row
    while places.get(first - 1) == places[row]:
        first -= 1
    while places.get(last + 1) == places[row]:
        last += 1
    start, end = spans[first][0], spans[last][1]
    (text,) = connection.execute(
        "SELECT substr(text, ?, ?) FROM documents WHERE row = ?", (start + 1, end - start, places[row][0])
    ).fetchone()
    chunks = tuple(ChunkSpan(each, *spans[each]) for each in range(first, last + 1))
    # SQLite ends a text at a NUL.
    return Surroundings(start, text, chunks) if len(text) == end - start else None
