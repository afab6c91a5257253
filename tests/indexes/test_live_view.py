from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from indexes import live_view
from indexes.attributes import Attributes
from indexes.base import RowIds, Vectors
from indexes.errors import StoreUnavailableError
from indexes.live_view import LiveView
from indexes.rows import Ordinals, Rows
from indexes.store import Change
from indexes.view import View

DIMENSION, PATIENCE_S = 4, 200


def put(version: int) -> Change:
    """One row, whose id is the version."""
    vectors = np.full((1, DIMENSION), version, dtype=np.float32)
    return Change("created", version, added=np.array([version]), vectors=vectors, metadata={})


def live_view_of_nothing() -> LiveView:
    return LiveView(View(Rows(DIMENSION, "ip"), Attributes(), None, 0))


def test_what_is_committed_while_rows_are_read_is_replayed_once() -> None:
    live, rows, attributes = live_view_of_nothing(), Rows(DIMENSION, "ip"), Attributes()
    with live.recording():
        live.apply(put(1))
        live.apply(put(2))
        live.apply(Change("deleted", 3, removed=[1]))
        rows.append(np.array([1]), np.array([attributes.append({})]), np.ones((1, DIMENSION), dtype=np.float32), 0)
        live.replace(rows, attributes, None, read_at=3)
    assert live.now.rows is rows
    assert (live.now.version, live.now.since) == (3, 3)
    assert rows.ids()[rows.visible(2, 3).mask(0, 2)].tolist() == [2]


def test_rows_that_were_read_ahead_of_memory_are_not_swapped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where they replace others, a search at the version before would find neither."""
    monkeypatch.setattr(live_view, "_CATCH_UP_S", 0)
    live = live_view_of_nothing()
    before = live.now
    with live.recording(), pytest.raises(StoreUnavailableError, match="at version 0, the store at 1"):
        live.replace(Rows(DIMENSION, "ip"), Attributes(), None, read_at=1)
    assert live.now is before


def test_commits_do_not_wait_for_the_replay_of_many() -> None:
    live, many = live_view_of_nothing(), 1000

    class RowsBesideWrites(Rows):
        """A write is applied while the first is replayed."""

        def append(self, ids: RowIds, documents: Ordinals, vectors: Vectors, version: int) -> None:
            if not self.size:
                threads.submit(live.apply, put(many + 1)).result(PATIENCE_S)
            super().append(ids, documents, vectors, version)

    rows = RowsBesideWrites(DIMENSION, "ip")
    with ThreadPoolExecutor(1) as threads, live.recording():
        for version in range(1, many + 1):
            live.apply(put(version))
        live.replace(rows, Attributes(), None, read_at=many)
    assert rows.ids().tolist() == list(range(1, many + 2))
    assert live.now.version == many + 1
