"""A store's rows and those in Milvus, compared in blocks of row numbers, and made the same.

It can be cut short anywhere and goes on from what it finds: what is there already is not sent again.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import orjson

from indexes.base import Chunk
from indexes.milvus_client import MilvusTable
from indexes.milvus_feed import Sent
from indexes.milvus_row import CHECKSUM, ROW, VERSION, Filtered, MilvusRow, checksum_of
from indexes.store import Store
from indexes.store_snapshot import StoredChunk
from indexes.work import Progress

# Row numbers in one block: what Milvus gives in one reply, and some 10 MB of rows.
BLOCK_ROWS = 1_024

Entities: TypeAlias = dict[int, dict[str, Any]]
Held: TypeAlias = dict[int, int]
"""Checksum by row number."""


@dataclass(frozen=True, slots=True)
class Difference:
    """What a comparison found, or made good.

    Attributes:
        rows: of the store.
        missing: that Milvus does not have.
        other: that it has otherwise.
        extra: that it has and the store has not.
    """

    rows: int = 0
    missing: int = 0
    other: int = 0
    extra: int = 0

    def __add__(self, more: "Difference") -> "Difference":
        return Difference(
            self.rows + more.rows, self.missing + more.missing, self.other + more.other, self.extra + more.extra
        )

    @property
    def is_none(self) -> bool:
        """Both have the same rows."""
        return not (self.missing or self.other or self.extra)

    @property
    def problems(self) -> list[str]:
        """A sentence each."""
        said = [
            (self.missing, f"Milvus lacks {self.missing} of {self.rows} rows"),
            (self.other, f"Milvus has {self.other} of {self.rows} rows otherwise than the store"),
            (self.extra, f"Milvus has {self.extra} rows that the store has not"),
        ]
        return [sentence for count, sentence in said if count]


def _nobody_writes() -> AbstractContextManager[Sent]:
    return nullcontext(Sent())


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of one store with its rows in Milvus; writes and searches go on meanwhile.

    Args:
        holding: while this is held nothing is sent; what has been is what counts.
        progress: told after every block how many row numbers were looked at, of how many.
    """

    store: Store
    table: MilvusTable
    holding: Callable[[], AbstractContextManager[Sent]] = _nobody_writes
    progress: Progress = lambda *_: None

    def mended(self, *, deep: bool = False) -> Difference:
        """Send what is missing or otherwise, delete what is too much.

        Args:
            deep: by everything that Milvus has of each row, and not by the checksums alone that were sent with them.

        Raises:
            MilvusUnavailableError: it is to be done again.
            RowTooLargeError: a document was stored before its collection came to Milvus, which has no room for it.
            StoreUnavailableError: the store cannot be read.
        """
        return self._over_all(self._recomputed if deep else self.table.checksums, self._mend)

    def found(self) -> Difference:
        """What ``mended`` with ``deep`` would do.

        Raises:
            MilvusUnavailableError, RowTooLargeError, StoreUnavailableError: as ``mended``.
        """
        return self._over_all(self._recomputed, lambda *_: None)

    def _over_all(self, read: Callable[[int, int], Held], act: Callable[[Entities, Sequence[int]], None]) -> Difference:
        total, first, last = Difference(), 0, 0
        while first <= last:
            with self.holding() as sent:
                last = self.store.last_row()
                held = read(first, first + BLOCK_ROWS)
                if first + BLOCK_ROWS > last:
                    held |= dict.fromkeys(self.table.beyond(first + BLOCK_ROWS - 1), 0)
                stored, version = self._stored(first, sent.version)
                doomed = sent.doomed(version)
                extra = [row for row in held if row not in stored and row not in doomed]
                wrong = {row: entity for row, entity in stored.items() if held.get(row) != entity[CHECKSUM]}
                act(wrong, extra)
            missing = sum(row not in held for row in wrong)
            total += Difference(len(stored), missing, len(wrong) - missing, len(extra))
            first += BLOCK_ROWS
            self.progress(min(last, first), last)
        return total

    def _mend(self, wrong: Entities, extra: Sequence[int]) -> None:
        self.table.upsert(list(wrong.values()))
        self.table.delete(extra)

    def _recomputed(self, first: int, stop: int) -> Held:
        """A row that is not what its own checksum says has none that is right."""
        contents = self.table.contents(first, stop)
        return {content[ROW]: checksum if checksum == checksum_of(content) else -1 for content, checksum in contents}

    def _stored(self, first: int, sent: int) -> tuple[Entities, int]:
        """Of what has been sent, and the version of the store that it was read at."""
        with self.store.snapshot() as snapshot:
            every = dict(_entities(snapshot.connection, first, first + BLOCK_ROWS))
        return {row: entity for row, entity in every.items() if entity[VERSION] <= sent}, snapshot.version


def _entities(connection: sqlite3.Connection, first: int, stop: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Row number and what Milvus is given of it, of a run of numbers."""
    found = connection.execute(
        "SELECT c.row, c.document, v.vector, d.metadata, d.id, c.ordinal, c.text, c.start, c.end, c.heading_path, "
        "c.page, d.title, d.url FROM chunks c JOIN documents d ON d.row = c.document JOIN vectors v ON v.chunk = c.row "
        "WHERE c.row >= ? AND c.row < ? ORDER BY c.row",
        (first, stop),
    )
    filtered: tuple[int, Filtered] | None = None  # rows of one document follow each other
    for row, version, vector, metadata, id_, ordinal, text, start, end, path, page, title, url in found:
        if filtered is None or filtered[0] != version:
            filtered = version, Filtered.of(id_, orjson.loads(metadata))
        chunk = Chunk(id_, ordinal, text, start, end, tuple(orjson.loads(path)), page)
        stored = StoredChunk(chunk, title, url, metadata)
        made = MilvusRow.of(stored, filtered[1], np.frombuffer(vector, dtype="<f4"))
        yield row, made.entity(row, version)
