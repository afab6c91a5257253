"""MilvusGiven: what Milvus gave with the candidates of one search, for who has no store to hold them to."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from indexes.base import Chunk, SearchParams, Vectors
from indexes.milvus_reading import Content, MilvusRows
from indexes.milvus_row import CHECKSUM, DOCUMENT, ORDINAL, PAYLOAD, ROW, VECTOR, VERSION, checksum_of
from indexes.store_snapshot import StoredChunk


class MilvusGiven:
    """Rows by their numbers, each as it was when Milvus gave it.

    While a document is replaced, Milvus has both of its forms for a moment: the new one counts. What is not what its
    own checksum says is as if it were not there.

    Attributes:
        newest: highest version of a row that was given, 0 where none was.
    """

    def __init__(self, rows: MilvusRows) -> None:
        self._rows = rows
        self._given: dict[int, Content] = {}
        self._versions: dict[str, int] = {}  # of each document the newest that was given

    @property
    def newest(self) -> int:
        """Highest version of a row that was given, 0 where none was."""
        return max(self._versions.values(), default=0)

    def near(self, query: Vectors, limit: int, condition: str, params: SearchParams) -> list[int]:
        """As ``MilvusRows.candidates``; what comes with them is kept."""
        found = self._rows.near(query, limit, condition, params)
        for row in found:
            if row[ROW] not in self._given and checksum_of(row) == row[CHECKSUM]:
                self._given[row[ROW]] = row
                self._versions[row[DOCUMENT]] = max(row[VERSION], self._versions.get(row[DOCUMENT], 0))
        return [int(row[ROW]) for row in found]

    def chunks(self, rows: Sequence[int], *, with_metadata: bool = False) -> dict[int, StoredChunk]:
        """As ``Snapshot.chunks``; metadata are there in any case."""
        return {row: stored_chunk(self._given[row]) for row in rows if self.is_newest(row)}

    def is_newest(self, row: int) -> bool:
        """It was given, and nothing newer of its document was."""
        given = self._given.get(row)
        return given is not None and given[VERSION] == self._versions[given[DOCUMENT]]

    def metadata_of(self, document_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """As ``Snapshot.metadata_of``."""
        wanted, found = set(document_ids), dict[str, dict[str, Any]]()
        for row, given in self._given.items():
            if given[DOCUMENT] in wanted and given[DOCUMENT] not in found and self.is_newest(row):
                found[given[DOCUMENT]] = orjson.loads(given[PAYLOAD])[-1]
        return found

    def vectors(self, rows: Sequence[int], dimension: int) -> Vectors:
        """As ``Snapshot.vectors``."""
        given = [np.asarray(self._given[row][VECTOR], dtype=np.float32) for row in rows]
        return np.stack(given) if given else np.empty((0, dimension), dtype=np.float32)


def stored_chunk(content: Mapping[str, Any]) -> StoredChunk:
    """What a row's payload is made of, see ``MilvusRow``."""
    text, start, end, path, page, title, url, metadata = orjson.loads(content[PAYLOAD])
    chunk = Chunk(content[DOCUMENT], content[ORDINAL], text, start, end, tuple(path), page)
    return StoredChunk(chunk, title, url, orjson.dumps(metadata).decode())
