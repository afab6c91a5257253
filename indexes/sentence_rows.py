"""The rows of sentences in a store: one for each chunk that has some, beside the chunk's own."""

import sqlite3
from collections.abc import Sequence

import numpy as np
import orjson

from indexes.checksums import checksum
from indexes.quantised import Quantised
from indexes.sentence_vectors import SentenceVectors


def insert_sentences(
    connection: sqlite3.Connection, chunks: Sequence[int], sentences: Sequence[SentenceVectors]
) -> None:
    """Put the sentences of each of the chunk rows beside it; what has none gets no row.

    Spans are pairs of little-endian uint32. Vectors are all the scales, float32, and then all the codes.
    """
    stored = [(chunk, *_written(one)) for chunk, one in zip(chunks, sentences, strict=True) if len(one)]
    connection.executemany(
        "INSERT INTO sentences (chunk, count, spans, vectors, checksum) VALUES (?,?,?,?,?)",
        [(*one, checksum(*one)) for one in stored],
    )


def sentences_of(connection: sqlite3.Connection, chunks: Sequence[int], dimension: int) -> dict[int, SentenceVectors]:
    """By chunk row; of a chunk without sentences, or whose row is not what was stored, there is nothing."""
    found = connection.execute(
        "SELECT chunk, count, spans, vectors, checksum FROM sentences WHERE chunk IN (SELECT value FROM json_each(?))",
        (orjson.dumps(list(chunks)).decode(),),
    ).fetchall()
    return {
        chunk: _read(count, spans, vectors, dimension)
        for chunk, count, spans, vectors, expected in found
        if checksum(chunk, count, spans, vectors) == expected
    }


def sentence_counts(connection: sqlite3.Connection) -> tuple[int, int]:
    """Sentences that are stored, and the chunks that they are of."""
    row = connection.execute("SELECT ifnull(sum(count), 0), count(*) FROM sentences").fetchone()
    return int(row[0]), int(row[1])


def _written(one: SentenceVectors) -> tuple[int, bytes, bytes]:
    scales = np.ascontiguousarray(one.vectors.scales, dtype="<f4")
    return len(one), np.array(one.spans, dtype="<u4").tobytes(), scales.tobytes() + one.vectors.codes.tobytes()


def _read(count: int, spans: bytes, vectors: bytes, dimension: int) -> SentenceVectors:
    places = np.frombuffer(spans, dtype="<u4").reshape(count, 2).tolist()
    scales = np.frombuffer(vectors, dtype="<f4", count=count)
    codes = np.frombuffer(vectors, dtype=np.int8, offset=4 * count).reshape(count, dimension)
    return SentenceVectors([(start, end) for start, end in places], Quantised(scales, codes))
