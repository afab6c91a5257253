"""The text around a chunk, put together from the chunks beside it, where the document itself is not at hand."""

from collections.abc import Mapping, Sequence

from indexes.base import Chunk
from indexes.milvus_given import stored_chunk
from indexes.milvus_reading import Content, MilvusRows
from indexes.milvus_row import VERSION
from indexes.surroundings import ChunkSpan, Surroundings

# What stands between two chunks is white space, of which only the length is known.
_BETWEEN = "\n"


def surroundings_in(table: MilvusRows, rows: Sequence[int], reach: int) -> dict[int, Surroundings]:
    """As ``surroundings``; where chunks do not touch, line breaks stand for the white space between them.

    Raises:
        MilvusUnavailableError: it did not answer.
    """
    wanted = sorted({near for row in rows for near in range(max(0, row - reach), row + reach + 1)})
    given = table.read(wanted)
    return {row: _around(given, row, reach) for row in rows if row in given}


def _around(given: Mapping[int, Content], row: int, reach: int) -> Surroundings:
    # A document's chunks have consecutive rows, in their order: one transaction wrote them.
    first = last = row
    while first > row - reach and _are_neighbours(given, first - 1, first):
        first -= 1
    while last < row + reach and _are_neighbours(given, last, last + 1):
        last += 1
    chunks = [stored_chunk(given[each]).chunk for each in range(first, last + 1)]
    spans = tuple(ChunkSpan(first + at, chunk.start, chunk.end) for at, chunk in enumerate(chunks))
    return Surroundings(chunks[0].start, _joined(chunks), spans)


def _are_neighbours(given: Mapping[int, Content], one: int, next_: int) -> bool:
    """Of one document, on one page, below the same headings."""
    if one not in given or next_ not in given:
        return False
    before, after = stored_chunk(given[one]).chunk, stored_chunk(given[next_]).chunk
    places = [(chunk.document_id, chunk.heading_path, chunk.page) for chunk in (before, after)]
    return places[0] == places[1] and given[one][VERSION] == given[next_][VERSION]


def _joined(chunks: Sequence[Chunk]) -> str:
    start, text = chunks[0].start, ""
    for chunk in chunks:
        text += _BETWEEN * (chunk.start - start - len(text))
        text += chunk.text[max(0, start + len(text) - chunk.start) :]
    return text
