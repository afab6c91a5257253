"""Runs of stored rows, as they are read from the store one short transaction after the other."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from indexes.base import RowIds, Vectors
from indexes.checksums import checksum

# Whatever a damaged row holds in its place.
_VECTOR = "ifnull(CAST(v.vector AS BLOB), x'')"


@dataclass(frozen=True, slots=True)
class VectorBlock:
    """A run of rows and their vectors.

    Attributes:
        ids: ``(n,)`` chunk rows, ascending.
        stored: vectors as the file has them, in bytes.
        checksums: that they were stored with.
    """

    ids: RowIds
    stored: Sequence[bytes]
    checksums: Sequence[int]

    def vectors(self, dimension: int) -> Vectors:
        """``(n, dimension)``."""
        return np.frombuffer(b"".join(self._sized(4 * dimension)), dtype="<f4").reshape(len(self.ids), dimension)

    def damaged(self) -> NDArray[np.bool_]:
        """``(n,)``: those that are not what was stored. It takes half as long as reading them."""
        rows = zip(self.ids.tolist(), self.stored, self.checksums, strict=True)
        return np.array([checksum(row, vector) != expected for row, vector, expected in rows], dtype=bool)

    def _sized(self, length: int) -> Sequence[bytes]:
        """A damaged one may be longer or shorter, and must not shift those behind it."""
        return [one if len(one) == length else one[:length].ljust(length, b"\0") for one in self.stored]


@dataclass(frozen=True, slots=True)
class Block:
    """A run of rows, and what the filters of a search need to know of their documents.

    Attributes:
        rows: with their vectors.
        vectors: ``(n, dimension)``.
        documents: ``(n,)`` index of each row's document in ``metadata``.
    """

    rows: VectorBlock
    vectors: Vectors
    documents: NDArray[np.int64]
    metadata: Sequence[Mapping[str, object]]

    @property
    def ids(self) -> RowIds:
        """``(n,)`` chunk rows, ascending."""
        return self.rows.ids


def block_behind(connection: sqlite3.Connection, dimension: int, last: int, rows: int) -> Block | None:
    """The rows behind ``last`` with the metadata of their documents, both of one moment."""
    found = connection.execute(
        f"SELECT v.chunk, {_VECTOR}, v.checksum, c.document FROM vectors v JOIN chunks c ON c.row = v.chunk "  # noqa: S608
        "WHERE v.chunk > ? ORDER BY v.chunk LIMIT ?",
        (last, rows),
    ).fetchall()
    if not found:
        return None
    numbers, documents = np.unique([row[3] for row in found], return_inverse=True)
    metadata = [
        orjson.loads(connection.execute("SELECT metadata FROM documents WHERE row = ?", (number,)).fetchone()[0])
        for number in numbers.tolist()
    ]
    held = _vector_block(found)
    return Block(held, held.vectors(dimension), documents, metadata)


def vectors_behind(connection: sqlite3.Connection, last: int, rows: int) -> VectorBlock | None:
    """The rows behind ``last``, without their documents."""
    found = connection.execute(
        f"SELECT v.chunk, {_VECTOR}, v.checksum FROM vectors v WHERE v.chunk > ? ORDER BY v.chunk LIMIT ?",  # noqa: S608
        (last, rows),
    ).fetchall()
    return _vector_block(found) if found else None


def _vector_block(found: Sequence[tuple[Any, ...]]) -> VectorBlock:
    ids, stored, checksums = [row[0] for row in found], [row[1] for row in found], [row[2] for row in found]
    return VectorBlock(np.array(ids, dtype=np.int64), stored, checksums)
