"""The store at one version, for whoever reads several things that have to agree."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from indexes.base import Chunk, RowIds, Vectors


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk with what its document contributes to a hit.

    Attributes:
        metadata: of the document, as JSON; an empty object where it was not asked for.
    """

    chunk: Chunk
    title: str
    url: str | None
    metadata: str = "{}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The store at one version; made by ``Store.snapshot``."""

    connection: sqlite3.Connection
    version: int

    def chunks(self, rows: Sequence[int], *, with_metadata: bool = False) -> dict[int, StoredChunk]:
        """The chunks of ``rows`` that exist, by row."""
        marks = ",".join("?" * len(rows))
        metadata = "d.metadata" if with_metadata else "'{}'"
        found = self.connection.execute(
            "SELECT c.row, d.id, c.ordinal, c.text, c.start, c.end, c.heading_path, c.page, d.title, d.url, "  # noqa: S608
            f"{metadata} FROM chunks c JOIN documents d ON d.row = c.document WHERE c.row IN ({marks})",
            [int(row) for row in rows],
        ).fetchall()
        return {
            row: StoredChunk(Chunk(id_, ordinal, text, start, end, tuple(orjson.loads(path)), page), *of_document)
            for row, id_, ordinal, text, start, end, path, page, *of_document in found
        }

    def metadata_of(self, document_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Metadata of those of the documents that exist, by id."""
        found = self.connection.execute(
            "SELECT id, metadata FROM documents WHERE id IN (SELECT value FROM json_each(?))",
            (orjson.dumps(document_ids).decode(),),
        )
        return {id_: orjson.loads(metadata) for id_, metadata in found}

    def living(self, rows: Sequence[int]) -> set[int]:
        """Those of the chunk rows that exist."""
        found = self.connection.execute(
            "SELECT row FROM chunks WHERE row IN (SELECT value FROM json_each(?))", (orjson.dumps(rows).decode(),)
        )
        return {row for (row,) in found}

    def row_ids(self) -> RowIds:
        """Every chunk row, ascending."""
        rows = self.connection.execute("SELECT row FROM chunks ORDER BY row").fetchall()
        return np.array([row for (row,) in rows], dtype=np.int64)

    def vectors(self, rows: Sequence[int], dimension: int) -> Vectors:
        """``(len(rows), dimension)``: the vectors of rows that exist."""
        found = (
            self.connection.execute("SELECT vector FROM vectors WHERE chunk = ?", (row,)).fetchone() for row in rows
        )
        return np.frombuffer(b"".join(vector for (vector,) in found), dtype="<f4").reshape(len(rows), dimension)
