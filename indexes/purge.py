"""Purge: what was deleted from one collection leaves its files and its index, and the files are searched for it.

The documents are deleted before, so the store is right at every moment: a purge that is cut short, wherever that is,
leaves a valid collection and is made again. Texts go first (``erase``), then the codes of their vectors (a new index,
new snapshots), and the proof comes last. Of the log of operations nothing goes: ids stay, and so do filters that
documents were deleted by, because a write that was accepted earlier must not bring a deleted document back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from indexes.base import Mask, RowIds, Vectors
from indexes.erasure import Proof, erase, needles_of, prove_erased
from indexes.errors import ErasureError
from indexes.lexical import LexicalIndex
from indexes.store import Store
from indexes.upkeep import Upkeep
from indexes.view import View
from indexes.writer import GroupCommitWriter

_MAX_DEAD_NEEDLES = 10_000
_HEAD_COMPONENTS = 2  # the eight bytes that a needle has at least
_BLOCK_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Derived:
    """What is made of a store's rows, and has those that died."""

    upkeep: Upkeep
    lexical: LexicalIndex

    def rebuild(self) -> None:
        """Make it of the rows that are there.

        Raises:
            InsufficientMemoryError, LexicalError, SnapshotError, StoreUnavailableError: something cannot be replaced.
        """
        self.upkeep.purge()
        self.lexical.rebuild()


def purge(writer: GroupCommitWriter, store: Store, derived: Derived, needles: Sequence[bytes], dead: RowIds) -> Proof:
    """Remove everything that was deleted so far from the files, the indexes and the snapshots, and prove it.

    tantivy takes texts apart, so that no sample of one is found in its files: there rows are looked for.

    Args:
        needles: of what was deleted, taken while it was there.
        dead: chunk rows of which no trace may be in the store's tables, see ``dead_rows``.

    Raises:
        ErasureError: the files cannot be rewritten or searched, or something was found in them or in the tables.
        InsufficientMemoryError, LexicalError, SnapshotError, StoreUnavailableError: an index cannot be replaced.
    """
    erase(writer, store.database)
    derived.rebuild()
    stored, worded = store.holding(dead), len(derived.lexical.view.holding(dead))
    if stored or worded:
        place = store.database.path.name if stored else "the lexical index"
        raise ErasureError(f"{stored or worded} of {len(dead)} deleted rows are still in {place}")
    proof = prove_erased(store.database, needles)
    if proof.found:
        first = proof.found[0]
        raise ErasureError(
            f"{len(proof.found)} samples of what was purged are still in the files, as in {first.file} at byte "
            f"{first.offset}"
        )
    return proof


def dead_rows(view: View) -> RowIds:
    """``(n,)``: chunk rows in memory that are deleted."""
    live = _live(view)
    return view.rows.ids(len(live))[~live]


def needles_of_dead(view: View) -> list[bytes]:
    """Needles of the vectors in memory whose rows are deleted; none of a vector that a live row has too.

    A vector of one component is too short for a needle, see ``needles_of``: it has none, and is gone with its row.
    """
    if view.rows.dimension < _HEAD_COMPONENTS:
        return []
    live = _live(view)
    size = len(live)
    vectors = view.rows.vectors(size)
    heads = _heads(vectors)
    dead = np.flatnonzero(~live)
    if not len(dead):
        return []
    of_live = np.zeros(len(dead), dtype=bool)
    for first in range(0, size, _BLOCK_ROWS):  # blocks, so that little memory is taken beside the index
        block = slice(first, first + _BLOCK_ROWS)
        of_live |= np.isin(heads[dead], heads[block][live[block]])
    needles = needles_of((), vectors[dead[~of_live]])
    return needles[:: max(1, -(-len(needles) // _MAX_DEAD_NEEDLES))]


def _live(view: View) -> Mask:
    """By position. The rows that come meanwhile are not among them."""
    size = view.rows.size
    return view.rows.visible(size, view.version).mask(0, size)


def _heads(vectors: Vectors) -> NDArray[np.uint64]:
    """``(n,)``: the first eight bytes of each vector."""
    return np.ascontiguousarray(vectors[:, :_HEAD_COMPONENTS]).view(np.uint64)[:, 0]
