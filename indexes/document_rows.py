"""The rows of documents and of their chunks in a store: found, inserted, removed."""

import sqlite3
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
import orjson

from indexes.base import Chunk, Document, RowIds, Vectors
from indexes.filters import Filter, matches

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
        f"WHERE row IN {_LISTED} AND seq > (SELECT max(seq) FROM operations WHERE document_id = d.id)",
        (_listed(doomed),),
    )
    return len(doomed), _remove_rows(connection, doomed)


def _remove_rows(connection: sqlite3.Connection, documents: Sequence[int]) -> list[int]:
    """Chunk rows of the documents, which are removed."""
    listed = (_listed(documents),)
    chunks_of = f"SELECT row FROM chunks WHERE document IN {_LISTED}"  # noqa: S608
    rows = [row for (row,) in connection.execute(chunks_of, listed)]
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
    connection.execute(
        "INSERT INTO documents (row, id, seq, title, text, metadata, url, format, content_hash) "
        "VALUES (?,?,?,?,?,?,?,?,?)",
        (
            row,
            document.id,
            seq,
            document.title,
            document.text,
            orjson.dumps(document.metadata).decode(),
            document.url,
            document.format,
            document.content_hash,
        ),
    )
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
    first = (0 if last is None else int(last[0])) + 1
    added = np.arange(first, first + len(chunks), dtype=np.int64)
    connection.executemany(
        "INSERT INTO chunks (row, document, ordinal, text, start, end, heading_path, page) VALUES (?,?,?,?,?,?,?,?)",
        [
            (chunk, row, c.ordinal, c.text, c.start, c.end, orjson.dumps(c.heading_path).decode(), c.page)
            for chunk, c in zip(added.tolist(), chunks, strict=True)
        ],
    )
    little_endian = np.ascontiguousarray(vectors, dtype="<f4")
    connection.executemany(
        "INSERT INTO vectors (chunk, vector) VALUES (?, ?)",
        [(chunk, vector.tobytes()) for chunk, vector in zip(added.tolist(), little_endian, strict=True)],
    )
    return added


def _listed(rows: Sequence[int]) -> str:
    """The parameter of ``_LISTED``: any number of rows in one."""
    return orjson.dumps(rows).decode()
