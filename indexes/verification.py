"""Whether what is on disk and in memory is what was stored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexes.base import Mask, RowIds
from indexes.blocks import VectorBlock
from indexes.errors import StoreUnavailableError
from indexes.generation import NO_ROWS
from indexes.lexical import LexicalIndex
from indexes.live_view import LiveView
from indexes.pinned import pinned
from indexes.snapshot import Snapshots
from indexes.store import Store
from indexes.stored_damage import document_damage, named, vector_damage
from indexes.view import View
from indexes.work import Progress


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, and what is wrong with it.

    Attributes:
        version: of the collection that was looked at.
        rows: of the store that were compared with the index.
        vectors: that were compared, component by component.
        problems: a sentence each; none means that all is well.
    """

    version: int
    rows: int
    vectors: int
    problems: Sequence[str]


def verify(
    store: Store, live: LiveView, snapshots: Snapshots, lexical: LexicalIndex, progress: Progress = lambda *_: None
) -> Verification:
    """Check the store's file, every byte of what is derived from it, and that the indexes hold the store's rows.

    The index of vectors holds no others; that of words may, as rows that died stay in it for a while.

    Reads go on meanwhile, and writes too: which rows there are is compared at one version, and the vector of a row
    never changes. A store that cannot be read is a problem too, and what cannot be compared for it is not.

    Args:
        progress: told after every block how many vectors were compared, of those that there were at first.

    Raises:
        StoreUnavailableError: the store is closed.
    """
    problems = snapshots.verify()
    view, rows, vectors = live.now, 0, 0
    version = view.version
    try:
        problems += store.check()
        problems += document_damage(store)
        with pinned(store, live) as (snapshot, view):
            version, stored = snapshot.version, snapshot.row_ids()
        rows = len(stored)
        visible = view.rows.visible(view.rows.size, version).mask(0, view.rows.size)
        problems += _differences(stored, view.rows.ids(len(visible))[visible])
        problems += lexical.verify(stored)
        vectors, unequal = _compared(store, view, rows, progress)
        problems += unequal
    except StoreUnavailableError as error:
        if store.is_closed:
            raise
        problems.append(str(error))
    return Verification(version, rows, vectors, problems)


def _differences(stored: RowIds, held: RowIds) -> list[str]:
    missing, extra = np.setdiff1d(stored, held), np.setdiff1d(held, stored)
    said = [f"{len(missing)} stored rows are not in the index, as row {missing[0]}"] if len(missing) else []
    return said + ([f"{len(extra)} rows of the index are not stored, as row {extra[0]}"] if len(extra) else [])


def _compared(store: Store, view: View, rows: int, progress: Progress) -> tuple[int, list[str]]:
    """How many vectors of the store are in the view too, and what is said of those that are wrong on either side."""
    compared, damaged, unequal = 0, [NO_ROWS], [NO_ROWS]
    for block in store.scan_vectors():
        unsound = block.damaged()
        held, differ = _differing(view, block)
        compared += held
        damaged.append(block.ids[unsound])
        unequal.append(block.ids[differ & ~unsound])
        progress(compared, max(compared, rows))
    said = vector_damage(store, np.concatenate(damaged))
    wrong = np.concatenate(unequal)
    if len(wrong):
        of = named(store.documents_of(wrong))
        said.append(f"{len(wrong)} of {compared} vectors in memory are not those that were stored, as of {of}: rebuild")
    return compared, said


def _differing(view: View, block: VectorBlock) -> tuple[int, Mask]:
    """How many rows of the block are in the view, and ``(n,)`` which of them have another vector there."""
    positions, held = view.rows.found(block.ids)
    differ = np.zeros(len(held), dtype=bool)
    differ[held] = (view.rows.vectors()[positions[held]] != block.vectors(view.rows.dimension)[held]).any(axis=1)
    return int(held.sum()), differ
