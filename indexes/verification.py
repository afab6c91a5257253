"""Whether what is on disk and in memory is what was stored."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from indexes.live_view import LiveView
from indexes.snapshot import Snapshots
from indexes.store import Store

_COMPARED_VECTORS = 1000


@dataclass(frozen=True, slots=True)
class Verification:
    """What was looked at, and what is wrong with it.

    Attributes:
        rows: of the store that were compared with the index.
        vectors: that were compared, component by component.
        problems: a sentence each; none means that all is well.
    """

    version: int
    rows: int
    vectors: int
    problems: Sequence[str]


def verify(store: Store, live: LiveView, snapshots: Snapshots) -> Verification:
    """Check the store's file, every byte of the snapshots, and that the index holds the store's rows and no others.

    Reads go on meanwhile, and writes too: what is compared is of one version.

    Raises:
        StoreUnavailableError: the store cannot be read at all.
    """
    problems = [*store.check(), *snapshots.verify()]
    while True:
        with store.snapshot() as snapshot:
            view = live.at(snapshot.version)
            if view.since > snapshot.version:
                continue
            stored = snapshot.row_ids()
            visible = view.rows.visible(view.rows.size, snapshot.version).mask(0, view.rows.size)
            held = view.rows.ids(len(visible))[visible]
            problems += _differences(stored, held)
            sample = np.intersect1d(stored, held, assume_unique=True)
            sample = sample[:: max(1, len(sample) // _COMPARED_VECTORS)]
            vectors = view.rows.vectors(len(visible))[np.searchsorted(view.rows.ids(len(visible)), sample)]
            unequal = np.flatnonzero((snapshot.vectors(sample.tolist(), view.rows.dimension) != vectors).any(axis=1))
        if len(unequal):
            problems.append(f"{len(unequal)} of {len(sample)} vectors in memory differ, as of row {sample[unequal[0]]}")
        return Verification(snapshot.version, len(stored), len(sample), problems)


def _differences(stored: np.ndarray, held: np.ndarray) -> list[str]:
    missing, extra = np.setdiff1d(stored, held), np.setdiff1d(held, stored)
    said = [f"{len(missing)} stored rows are not in the index, as row {missing[0]}"] if len(missing) else []
    return said + ([f"{len(extra)} rows of the index are not stored, as row {extra[0]}"] if len(extra) else [])
