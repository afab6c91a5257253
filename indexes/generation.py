"""Rows and attributes as the store holds them."""

from dataclasses import dataclass, field

import numpy as np

from indexes.attributes import Attributes
from indexes.base import RowIds, Vectors
from indexes.blocks import Block
from indexes.rows import Rows
from indexes.spec import CollectionSpec
from indexes.store import Store
from indexes.work import Progress

NO_ROWS: RowIds = np.empty(0, dtype=np.int64)
# Room beyond the rows that are read, as a part of them and for few: what is written next would otherwise copy every
# column, for which memory has to hold both. Room that nothing was written to takes no memory.
_SPARE, _LEAST_SPARE = 0.25, 256


@dataclass(frozen=True, slots=True)
class Generation:
    """What is derived from the store.

    Attributes:
        read_at: version of the store when the last of it had been read.
        damaged: rows whose stored vector is not what was stored, where that was looked at.
    """

    rows: Rows
    attributes: Attributes
    read_at: int
    damaged: RowIds = field(default_factory=lambda: NO_ROWS)


def read_store(
    store: Store,
    spec: CollectionSpec,
    indexed: RowIds = NO_ROWS,
    progress: Progress | None = None,
    held: Rows | None = None,
) -> Generation:
    """Every stored row: those of an index at the positions it gave them, the others after them.

    Args:
        indexed: ``(n,)`` ids by position, ascending. Those that the store does not have any more are dead.
        progress: told after every block how many rows were read, of those that there were at first.
        held: compare every stored vector with its checksum, and keep the vector that is here for one that is damaged.

    Raises:
        UnknownRowError: the store has a row between them that the index does not know.
    """
    last = int(indexed[-1]) if len(indexed) else 0
    read, total = 0, store.counts()[1]
    newer = max(0, min(total, store.last_row() - last))
    rows, attributes = Rows(spec.dimension, spec.metric, _with_spare(len(indexed) + newer)), Attributes()
    rows.append_dead(indexed)
    damaged = [NO_ROWS]
    for block in store.scan(spec.dimension):
        vectors = block.vectors
        if held is not None:
            vectors, unsound = _healed(block, held)
            damaged.append(unsound)
        first = attributes.size
        for metadata in block.metadata:
            attributes.append(metadata)
        known = int(np.searchsorted(block.ids, last, side="right"))
        ordinals = first + block.documents
        rows.revive(block.ids[:known], ordinals[:known], vectors[:known])
        rows.append(block.ids[known:], ordinals[known:], vectors[known:], version=0)
        read += len(block.ids)
        if progress:
            progress(read, max(read, total))
    return Generation(rows, attributes, store.version(), np.concatenate(damaged))


def _healed(block: Block, held: Rows) -> tuple[Vectors, RowIds]:
    """Vectors of the block, and the rows of those that are damaged. What was read before is no worse than they are."""
    damaged = block.rows.damaged()
    if not damaged.any():
        return block.vectors, NO_ROWS
    vectors, ids = block.vectors.copy(), block.ids[damaged]
    positions, is_held = held.found(ids)
    vectors[np.flatnonzero(damaged)[is_held]] = held.vectors()[positions[is_held]]
    return vectors, ids


def _with_spare(rows: int) -> int:
    return rows + max(_LEAST_SPARE, int(_SPARE * rows))
