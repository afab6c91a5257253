"""The rows of documents and of their chunks in a store: found, inserted, removed."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter

import numpy as np
import orjson

from indexes.base import Chunk, Document, RowIds, Vectors
from indexes.checksums import checksum
from indexes.filters import Filter, matches

Entry = tuple[str, str, str | None, dict[str, object]]
"""Id, title, url and metadata of a document."""

_LISTED = "(SELECT value FROM json_each(?))"


def passing(connection: sqlite3.Connection, filter: Filter, after: int = 0) -> Iterator[int]:
    """Rows above ``after`` of documents that pass. For all of them two indexes are read: texts lie in the table."""
    if after:
        newer = connection.execute("SELECT row, metadata FROM documents WHERE row > ?", (after,))
        yield from (row for row, text in newer if matches(filter, orjson.loads(text)))
        return
    having = connection.execute("SELECT row, metadata FROM documents WHERE metadata <> '{}' ORDER BY metadata")
    for text, same in groupby(having, key=itemgetter(1)):
        if matches(filter, orjson.loads(text)):
            yield from (row for row, _ in same)
    if matches(filter, {}):
        having_none = "SELECT row FROM documents EXCEPT SELECT row FROM documents WHERE metadata <> '{}'"
        yield from (row for (row,) in connection.execute(having_none))


def ids_of(connection: sqlite3.Connection, documents: Sequence[int]) -> list[str]:
    """Ids of the documents in these rows, by id."""
    listed = (_listed(documents),)
    found = connection.execute(f"SELECT id FROM documents WHERE row IN {_LISTED} ORDER BY id", listed)  # noqa: S608
    return [id_ for (id_,) in found]


def entries(connection: sqlite3.Connection, after: str, limit: int, filter: Filter | None = None) -> list[Entry]:
    """Up to ``limit`` documents with an id above ``after`` that pass, by id. Of the others no text is come near."""
    above = connection.execute("SELECT row, id FROM documents WHERE id > ? ORDER BY id", (after,))
    if filter is None:
        rows = [row for row, _ in islice(above, limit)]
    else:
        passed = set(passing(connection, filter))
        rows = list(islice((row for row, _ in above if row in passed), limit))
    found = connection.execute(
        f"SELECT id, title, url, metadata FROM documents WHERE row IN {_LISTED} ORDER BY id",  # noqa: S608
        (_listed(rows),),
    )
    return [(id_, title, url, orjson.loads(metadata)) for id_, title, url, metadata in found]


def remove(connection: sqlite3.Connection, document_id: str) -> list[int] | None:
    """Chunk rows of the document that was removed, or None where there was none."""
    found = connection.execute("SELECT row FROM documents WHERE id = ?", (document_id,)).fetchone()
    if found is None:
        return None
    return _remove_rows(connection, found)


def remove_older(connection: sqlite3.Connection, documents: Sequence[int], seq: int) -> tuple[int, list[int]]:
    """How many of the documents were written before ``seq``, and the rows of their chunks; these are removed.

    A confirmation raises a document's sequence and is not logged. It is now, as it goes on holding back what is older.
    """
    doomed = [
        row
        for (row,) in connection.execute(
            f"SELECT row FROM documents WHERE row IN {_LISTED} AND seq < ?",  # noqa: S608
            (_listed(documents), seq),
        )
    ]
    connection.execute(
        "INSERT INTO operations (seq, kind, document_id) SELECT seq, 'confirm', id FROM documents d "  # noqa: S608
        f"WHERE row IN {_LISTED} AND seq > "
        "(SELECT max(seq) FROM operations WHERE document_id = d.id AND filter IS NULL)",
        (_listed(doomed),),
    )
    return len(doomed), _remove_rows(connection, doomed)


def _remove_rows(connection: sqlite3.Connection, documents: Sequence[int]) -> list[int]:
    """Chunk rows of the documents, which are removed."""
    listed = (_listed(documents),)
    chunks_of = f"SELECT row FROM chunks WHERE document IN {_LISTED}"  # noqa: S608
    rows = [row for (row,) in connection.execute(chunks_of, listed)]
    connection.execute(f"DELETE FROM sentences WHERE chunk IN ({chunks_of})", listed)  # noqa: S608
    connection.execute(f"DELETE FROM vectors WHERE chunk IN ({chunks_of})", listed)  # noqa: S608
    connection.execute(f"DELETE FROM chunks WHERE document IN {_LISTED}", listed)  # noqa: S608
    connection.execute(f"DELETE FROM documents WHERE row IN {_LISTED}", listed)  # noqa: S608
    return rows


def insert(
    connection: sqlite3.Connection, row: int, document: Document, chunks: Sequence[Chunk], vectors: Vectors, seq: int
) -> RowIds:
    """Put a document into ``row``.

    Returns:
        The rows of its chunks, ascending, above all there ever were.
    """
    _insert_document(connection, row, document, seq)
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
    first = (0 if last is None else int(last[0])) + 1
    added = np.arange(first, first + len(chunks), dtype=np.int64)
    _insert_chunks(connection, row, added.tolist(), chunks)
    little_endian = np.ascontiguousarray(vectors, dtype="<f4")
    stored = [(chunk, vector.tobytes()) for chunk, vector in zip(added.tolist(), little_endian, strict=True)]
    connection.executemany(
        "INSERT INTO vectors (chunk, vector, checksum) VALUES (?, ?, ?)", [(*one, checksum(*one)) for one in stored]
    )
    return added


def _insert_document(connection: sqlite3.Connection, row: int, document: Document, seq: int) -> None:
    """Its sequence is not in the checksum, nor is the hash of its source: a confirmation changes both."""
    metadata = orjson.dumps(document.metadata).decode()
    given = (document.id, document.title, document.text, metadata, document.url, document.format, document.content_hash)
    connection.execute(
        "INSERT INTO documents (row, id, title, text, metadata, url, format, content_hash, seq, checksum, source_hash) "
        "VALUES (?,?,?,?,?,?,?,?,?,?,?)",
        (row, *given, seq, checksum(row, *given), document.source_hash),
    )


def _insert_chunks(connection: sqlite3.Connection, document: int, rows: Sequence[int], chunks: Sequence[Chunk]) -> None:
    stored = [
        (row, document, c.ordinal, c.text, c.start, c.end, orjson.dumps(c.heading_path).decode(), c.page)
        for row, c in zip(rows, chunks, strict=True)
    ]
    connection.executemany(
        "INSERT INTO chunks (row, document, ordinal, text, start, end, heading_path, page, checksum) "
        "VALUES (?,?,?,?,?,?,?,?,?)",
        [(*one, checksum(*one)) for one in stored],
    )


def _listed(rows: Sequence[int]) -> str:
    """The parameter of ``_LISTED``: any number of rows in one."""
    return orjson.dumps(rows).decode()
