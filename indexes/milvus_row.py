"""Rows as Milvus has them: a vector with all that a hit is made of, so that who has no store can answer too."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import orjson

from indexes.base import Chunk, Vectors
from indexes.errors import RowTooLargeError
from indexes.milvus_filter import HELD, RANGES, ranges_of, tokens_of
from indexes.store_snapshot import StoredChunk

# Of VARCHAR and of JSON, in Milvus, and of ARRAY.
MOST_BYTES = 65_535
MOST_TOKENS = 4_096

ROW, VECTOR, DOCUMENT, ORDINAL, VERSION, PAYLOAD, CHECKSUM = (
    "row", "vector", "document", "ordinal", "version", "payload", "checksum",
)  # fmt: skip
CONTENT = (ROW, VECTOR, DOCUMENT, ORDINAL, VERSION, PAYLOAD)


@dataclass(frozen=True, slots=True)
class Filtered:
    """What filters look at, of one document."""

    held: Sequence[str]
    ranges: Mapping[str, float | str]

    @classmethod
    def of(cls, document_id: str, metadata: Mapping[str, Any]) -> Self:
        """Of a document's metadata.

        Raises:
            RowTooLargeError: they hold more than Milvus takes.
        """
        tokens, ranges = tokens_of(metadata), ranges_of(metadata)
        if len(tokens) > MOST_TOKENS:
            raise RowTooLargeError(document_id, "values in its metadata", len(tokens), MOST_TOKENS)
        size = len(orjson.dumps(ranges))
        if size > MOST_BYTES:
            raise RowTooLargeError(document_id, "bytes of ranges of its metadata", size, MOST_BYTES)
        return cls(tokens, ranges)


@dataclass(frozen=True, slots=True)
class MilvusRow:
    """A chunk, without what is known of it only once it is committed.

    Attributes:
        payload: the chunk and what its document contributes to a hit, as JSON.
        vector: ``(dimension,)``.
    """

    document: str
    ordinal: int
    payload: str
    filtered: Filtered
    vector: Vectors

    @classmethod
    def of(cls, stored: StoredChunk, filtered: Filtered, vector: Vectors) -> Self:
        """Of a chunk whose metadata are there.

        Raises:
            RowTooLargeError: Milvus has no text as long as that.
        """
        chunk = stored.chunk
        content = [chunk.text, chunk.start, chunk.end, chunk.heading_path, chunk.page, stored.title, stored.url]
        payload = orjson.dumps([*content, orjson.loads(stored.metadata)])
        if len(payload) > MOST_BYTES:
            raise RowTooLargeError(chunk.document_id, f"bytes in chunk {chunk.ordinal}", len(payload), MOST_BYTES)
        return cls(chunk.document_id, chunk.ordinal, payload.decode(), filtered, vector)

    def entity(self, row: int, version: int) -> dict[str, Any]:
        """As Milvus is given it, for a chunk row of a document that was put at ``version``."""
        content = {
            ROW: row,
            VECTOR: self.vector,
            DOCUMENT: self.document,
            ORDINAL: self.ordinal,
            VERSION: version,
            PAYLOAD: self.payload,
        }
        filtered = {HELD: list(self.filtered.held), RANGES: dict(self.filtered.ranges)}
        return content | filtered | {CHECKSUM: checksum_of(content)}


def checksum_of(content: Mapping[str, Any]) -> int:
    """63 bits of BLAKE2b over the ``CONTENT`` of a row; what filters look at follows from that."""
    vector = np.asarray(content[VECTOR], dtype="<f4").tobytes()
    digest = hashlib.blake2b(vector, digest_size=8)
    for name in (ROW, DOCUMENT, ORDINAL, VERSION, PAYLOAD):
        value = str(content[name]).encode()
        digest.update(b"%d:" % len(value) + value)
    return int.from_bytes(digest.digest(), "big") >> 1


def rows_of(
    title: str, url: str | None, metadata: Mapping[str, Any], chunks: Sequence[Chunk], vectors: Vectors
) -> list[MilvusRow]:
    """Of one document, its ``(len(chunks), dimension)`` vectors as they are stored.

    Raises:
        RowTooLargeError: one of them is more than Milvus takes.
    """
    if not chunks:
        return []
    filtered = Filtered.of(chunks[0].document_id, metadata)
    text = orjson.dumps(metadata).decode()
    stored = [StoredChunk(chunk, title, url, text) for chunk in chunks]
    return [MilvusRow.of(*each) for each in zip(stored, [filtered] * len(chunks), vectors, strict=True)]
