"""The truth of one collection: documents, chunks, vectors and the log of operations in one SQLite file.

Every index is derived from it. Functions that take a connection run inside the writer's transaction; the others read.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson

from indexes.base import Chunk, Document, RowIds, Vectors
from indexes.blocks import Block, VectorBlock, block_behind, vectors_behind
from indexes.checksums import OF_CHUNK, OF_DOCUMENT, OF_SENTENCES
from indexes.database import SqliteDatabase
from indexes.document_rows import Entry, entries, ids_of, insert, passing, remove, remove_older
from indexes.filters import Filter
from indexes.lexical_text import texts_behind
from indexes.operations import deleted_since, log, superseded, version_of
from indexes.sentence_rows import insert_sentences, sentence_counts, sentences_of
from indexes.sentence_vectors import SentenceVectors
from indexes.sqlite_copy import fixed_view
from indexes.store_schema import MIGRATIONS, SCHEMA, SCHEMA_VERSION
from indexes.store_snapshot import Snapshot

Outcome = Literal["created", "updated", "unchanged", "superseded", "deleted", "absent", "hidden"]


def _no_rows() -> RowIds:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Change:
    """What one operation did to the rows, for the segments to follow.

    Attributes:
        outcome: ``superseded`` means that a write accepted later had already been applied, ``hidden`` that what is
            there does not exist for the writer; nothing was added.
        version: the collection's version with this change in it.
        removed: chunk rows that are gone.
        added: chunk rows that are new, ascending, one for each row of ``vectors``.
        metadata: of the document that was put.
        deleted: documents that a filter removed.
    """

    outcome: Outcome
    version: int
    removed: Sequence[int] = ()
    added: RowIds = field(default_factory=_no_rows)
    vectors: Vectors | None = None
    metadata: Mapping[str, Any] | None = None
    deleted: int = 0


class Store:
    """One collection's SQLite file."""

    def __init__(self, path: Path) -> None:
        self.database = SqliteDatabase(path, SCHEMA, SCHEMA_VERSION, MIGRATIONS)

    @property
    def is_closed(self) -> bool:
        """It was closed; nothing can be read any more."""
        return self.database.is_closed

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    def put(
        self,
        connection: sqlite3.Connection,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: Vectors,
        seq: int,
        sentences: Sequence[SentenceVectors] = (),
    ) -> Change:
        """Insert or replace a document, unless an operation on it with a higher ``seq`` was applied before.

        Args:
            sentences: of each chunk, or none at all.
        """
        if superseded(connection, document.id, seq):
            return Change("superseded", version_of(connection))
        removed = remove(connection, document.id)
        version = log(connection, seq, "put", document.id)
        if deleted_since(connection, document.id, document.metadata, seq):
            # As if it had come in time, to replace the document before it and then be deleted.
            return Change("superseded", version, removed or ())
        added = insert(connection, version, document, chunks, vectors, seq)
        if sentences:
            insert_sentences(connection, added.tolist(), sentences)
        outcome: Outcome = "created" if removed is None else "updated"
        return Change(outcome, version, removed or (), added, vectors, document.metadata)

    def confirm(
        self,
        connection: sqlite3.Connection,
        document_id: str,
        content_hash: bytes,
        seq: int,
        source_hash: bytes | None = None,
    ) -> Change:
        """Note at ``seq`` that the document is already what a write wanted, so that older writes cannot undo it.

        The outcome is ``absent`` when by now it is not.

        Args:
            source_hash: of the file that led to this content; None leaves what is known of that.
        """
        changed = connection.execute(
            "UPDATE documents SET seq = max(seq, ?), source_hash = coalesce(?, source_hash) "
            "WHERE id = ? AND content_hash = ?",
            (seq, source_hash, document_id, content_hash),
        ).rowcount
        return Change("unchanged" if changed else "absent", version_of(connection))

    def confirm_source(self, connection: sqlite3.Connection, document_id: str, source_hash: bytes, seq: int) -> Change:
        """As ``confirm``, for a document that was made of this very file."""
        changed = connection.execute(
            "UPDATE documents SET seq = max(seq, ?) WHERE id = ? AND source_hash = ?", (seq, document_id, source_hash)
        ).rowcount
        return Change("unchanged" if changed else "absent", version_of(connection))

    def delete(self, connection: sqlite3.Connection, document_id: str, seq: int, guard: Filter | None = None) -> Change:
        """Remove a document; the log keeps its id and ``seq``, so that an older write cannot bring it back.

        Args:
            guard: holds back only older writes that pass it: one that does not is none of the deleter's.
        """
        if superseded(connection, document_id, seq):
            return Change("superseded", version_of(connection))
        removed = remove(connection, document_id)
        version = log(connection, seq, "delete", document_id, guard)
        return Change("absent" if removed is None else "deleted", version, removed or ())

    def hold_back(
        self, connection: sqlite3.Connection, document_id: str, seq: int, guard: Filter | None = None
    ) -> Change:
        """Delete nothing, and log what a delete logs that finds nothing: to the deleter there is no difference."""
        return Change("absent", log(connection, seq, "delete", document_id, guard))

    def ids_matching(self, filter: Filter) -> list[str]:
        """Ids of the documents that pass now, by id."""
        with self.snapshot() as snapshot:
            return ids_of(snapshot.connection, list(passing(snapshot.connection, filter)))

    def matching(self, filter: Filter) -> tuple[list[int], int]:
        """Rows of the documents that pass, and the version at which they did; writes go on meanwhile."""
        with self.snapshot() as snapshot:
            return list(passing(snapshot.connection, filter)), snapshot.version

    def delete_rows(self, connection: sqlite3.Connection, documents: Sequence[int], seq: int) -> Change:
        """Remove those of the documents in these rows that were written before ``seq``: a step of deleting by filter.

        Nothing is kept that would hold an older write back: the last step does that, see ``delete_matching``.
        """
        count, removed = remove_older(connection, documents, seq)
        return Change("deleted", log(connection, seq, "delete_rows"), removed, deleted=count)

    def delete_matching(
        self, connection: sqlite3.Connection, filter: Filter, seq: int, rows: Sequence[int] = (), after: int = 0
    ) -> Change:
        """Remove the documents that pass ``filter`` and were written before ``seq``.

        The log keeps the filter, so that an older write which comes later is deleted too.

        Args:
            rows: documents that are known to pass.
            after: version up to which every document that passes is in ``rows``, or is gone.
        """
        count, removed = remove_older(connection, [*rows, *passing(connection, filter, after)], seq)
        version = log(connection, seq, "delete_matching", filter=filter)
        return Change("deleted" if count else "absent", version, removed, deleted=count)

    def is_overtaken(self, document_id: str, metadata: Mapping[str, Any] | None, seq: int) -> bool:
        """Whether a write of the document at ``seq`` would change nothing: one accepted after it has been applied.

        Args:
            metadata: that the write brings, for deletions by filter; None leaves these out.
        """
        with self.database.reading() as connection:
            if superseded(connection, document_id, seq):
                return True
            return metadata is not None and deleted_since(connection, document_id, metadata, seq)

    def version(self) -> int:
        """Version of the last applied operation."""
        with self.database.reading() as connection:
            return version_of(connection)

    def last_seq(self) -> int:
        """Highest sequence number ever applied."""
        with self.database.reading() as connection:
            logged = connection.execute("SELECT coalesce(max(seq), 0) FROM operations").fetchone()
            confirmed = connection.execute("SELECT coalesce(max(seq), 0) FROM documents").fetchone()
        return max(int(logged[0]), int(confirmed[0]))

    def document(self, document_id: str) -> Document | None:
        """The document, or None."""
        with self.database.reading() as connection:
            row = connection.execute(
                "SELECT id, title, text, metadata, url, format, content_hash, source_hash FROM documents WHERE id = ?",
                (document_id,),
            ).fetchone()
        if row is None:
            return None
        id_, title, text, metadata, *others = row
        return Document(id_, title, text, orjson.loads(metadata), *others)

    def content_hash(self, document_id: str) -> bytes | None:
        """The stored hash, or None for an absent document."""
        return self._hash("content_hash", document_id)

    def source_hash(self, document_id: str) -> bytes | None:
        """Of the file that the document was made of, or None."""
        return self._hash("source_hash", document_id)

    def _hash(self, column: str, document_id: str) -> bytes | None:
        with self.database.reading() as connection:
            query = f"SELECT {column} FROM documents WHERE id = ?"  # noqa: S608  one of the two above
            row = connection.execute(query, (document_id,)).fetchone()
        return None if row is None or row[0] is None else bytes(row[0])

    def documents(self, after: str, limit: int, filter: Filter | None = None) -> list[Entry]:
        """(id, title, url, metadata) of up to ``limit`` documents with an id above ``after`` that pass, by id."""
        with self.snapshot() as snapshot:
            return entries(snapshot.connection, after, limit, filter)

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file, a sentence each; and chunks that have no vector."""
        with self.database.reading_afresh() as connection:
            said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check").fetchall()]
            bare = connection.execute(
                "SELECT count(*) FROM chunks WHERE row NOT IN (SELECT chunk FROM vectors)"
            ).fetchone()[0]
        problems = [] if said == ["ok"] else [f"the store: {sentence}" for sentence in said]
        return problems + ([f"{bare} chunks have no vector"] if bare else [])

    def damaged_documents(self) -> list[str]:
        """Ids of the documents that are not what was stored, their chunks and sentences included, by id."""
        with self.database.reading_afresh() as connection:
            found = connection.execute(
                f"SELECT CAST(id AS BLOB) FROM documents WHERE checksum IS NOT {OF_DOCUMENT} UNION "  # noqa: S608
                "SELECT CAST(ifnull(d.id, 'unknown') AS BLOB) FROM "
                f"(SELECT document FROM chunks WHERE checksum IS NOT {OF_CHUNK} UNION SELECT c.document FROM sentences "
                f"LEFT JOIN chunks c ON c.row = chunk WHERE sentences.checksum IS NOT {OF_SENTENCES}) "
                "LEFT JOIN documents d ON d.row = document"
            ).fetchall()
        return sorted(id_.decode(errors="replace") for (id_,) in found)

    def documents_of(self, rows: RowIds) -> list[str]:
        """Ids of the documents that these chunk rows belong to, by id."""
        with self.database.reading() as connection:
            found = connection.execute(
                "SELECT DISTINCT d.id FROM json_each(?) r JOIN chunks c ON c.row = r.value "
                "JOIN documents d ON d.row = c.document ORDER BY d.id",
                (orjson.dumps(rows.tolist()).decode(),),
            ).fetchall()
        return [id_ for (id_,) in found]

    def holding(self, rows: RowIds) -> int:
        """How many of these chunk rows the file still has, of the chunk, its vector or its sentences."""
        with self.database.reading_afresh() as connection:
            found = connection.execute(
                "SELECT count(*) FROM json_each(?) r WHERE r.value IN (SELECT row FROM chunks) "
                "OR r.value IN (SELECT chunk FROM vectors) OR r.value IN (SELECT chunk FROM sentences)",
                (orjson.dumps(rows.tolist()).decode(),),
            ).fetchone()
        return int(found[0])

    def counts(self) -> tuple[int, int]:
        """Documents and chunks."""
        with self.database.reading() as connection:
            row = connection.execute("SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM chunks)")
            documents, chunks = row.fetchone()
        return int(documents), int(chunks)

    def sentences_of(self, rows: Sequence[int], dimension: int) -> dict[int, SentenceVectors]:
        """Sentences of those of the chunk rows that have some, by row; those that are damaged are left out."""
        with self.database.reading() as connection:
            return sentences_of(connection, rows, dimension)

    def sentence_counts(self) -> tuple[int, int]:
        """Sentences that are stored, and the chunks that they are of."""
        with self.database.reading() as connection:
            return sentence_counts(connection)

    def last_row(self) -> int:
        """The highest row id of a chunk; 0 where there is none."""
        with self.database.reading() as connection:
            (last,) = connection.execute("SELECT ifnull(max(row), 0) FROM chunks").fetchone()
        return int(last)

    def texts(self, after: int, limit: int) -> list[tuple[int, str]]:
        """(row, lexical text) of up to ``limit`` chunks above ``after``, by row."""
        with self.database.reading() as connection:
            return texts_behind(connection, after, limit)

    def rows_above(self, after: int) -> int:
        """Chunks with a row above ``after``."""
        with self.database.reading() as connection:
            (count,) = connection.execute("SELECT count(*) FROM chunks WHERE row > ?", (after,)).fetchone()
        return int(count)

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The store as it is now, whatever is committed inside the block; leave it soon, see ``reading``."""
        with self.database.reading() as connection, fixed_view(connection):
            yield Snapshot(connection, version_of(connection))

    def scan(self, dimension: int, rows: int = 8192) -> Iterator[Block]:
        """Every row in the order of the ids, in blocks, each read in a short transaction of its own."""
        last = 0
        while True:
            with self.database.reading() as connection, fixed_view(connection):
                block = block_behind(connection, dimension, last, rows)
            if block is None:
                return
            yield block
            last = int(block.ids[-1])

    def scan_vectors(self, rows: int = 8192) -> Iterator[VectorBlock]:
        """As ``scan``, vectors only, and as the file holds them now, whatever SQLite has in its cache."""
        last = 0
        while True:
            with self.database.reading_afresh() as connection:
                block = vectors_behind(connection, last, rows)
            if block is None:
                return
            yield block
            last = int(block.ids[-1])
