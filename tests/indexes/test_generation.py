"""Rows and attributes as they are read from the store."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexes.base import Chunk, Document, Vectors
from indexes.generation import read_store
from indexes.growable import GrowableArray
from indexes.spec import CollectionSpec
from indexes.store import Store
from indexes.writer import GroupCommitWriter

Cut = Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]
Clustered = Callable[[int, int, int], Vectors]

PIECES, DOCUMENTS = 50, 30
ROWS = PIECES * DOCUMENTS


@pytest.fixture
def store(
    tmp_path: Path, writer: GroupCommitWriter, cut: Cut, clustered: Clustered, spec: CollectionSpec
) -> Iterator[Store]:
    """A store of rows 1..ROWS."""
    store = Store(tmp_path / "store.db")
    vectors = clustered(ROWS, spec.dimension, 1)
    for number in range(DOCUMENTS):
        document, chunks = cut(f"d{number:02}", ["word "] * PIECES)
        held = vectors[number * PIECES : (number + 1) * PIECES]
        work = partial(store.put, document=document, chunks=chunks, vectors=held, seq=number + 1)
        writer.write(store.database, work)
    yield store
    store.close()


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes at which a column was copied to a larger buffer."""
    sizes: list[int] = []
    reserve = GrowableArray.reserve

    def watched(column: GrowableArray[Any], count: int) -> None:
        before = column._buffer
        reserve(column, count)
        if column._buffer is not before:
            sizes.append(len(column))

    monkeypatch.setattr(GrowableArray, "reserve", watched)
    return sizes


@pytest.mark.parametrize("indexed", [0, 1, 700, ROWS, ROWS + 900])
def test_no_column_is_copied_while_the_store_is_read(
    store: Store, spec: CollectionSpec, moved: list[int], indexed: int
) -> None:
    """Also where an index knows rows that the store has not any more."""
    rows = read_store(store, spec, np.arange(1, indexed + 1)).rows
    assert (rows.size, rows.live, moved) == (max(indexed, ROWS), ROWS, [])


def test_the_first_writes_after_it_copy_nothing(
    store: Store, spec: CollectionSpec, moved: list[int], clustered: Clustered
) -> None:
    rows = read_store(store, spec).rows
    written = np.arange(ROWS + 1, ROWS + ROWS // 4)
    rows.append(written, np.zeros(len(written), dtype=np.int64), clustered(len(written), spec.dimension, 2), 1)
    assert moved == []


def test_an_empty_store_is_read(tmp_path: Path, spec: CollectionSpec) -> None:
    store = Store(tmp_path / "empty.db")
    assert read_store(store, spec).rows.size == 0
    store.close()


def test_progress_is_told_of_the_rows_that_there_are(store: Store, spec: CollectionSpec) -> None:
    told: list[tuple[int, int]] = []
    read_store(store, spec, progress=lambda done, total: told.append((done, total)))
    assert told == [(ROWS, ROWS)]
