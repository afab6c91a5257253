"""The store and the view of it at one version."""

from collections.abc import Iterator
from contextlib import contextmanager

from indexes.live_view import LiveView
from indexes.store import Store
from indexes.store_snapshot import Snapshot
from indexes.view import View


@contextmanager
def pinned(store: Store, live: LiveView) -> Iterator[tuple[Snapshot, View]]:
    """A snapshot of the store, and a view that can be searched at its version; leave it soon, see ``Store.snapshot``.

    Raises:
        StoreUnavailableError: the store cannot be read, or the view does not get to its version.
    """
    while True:
        with store.snapshot() as snapshot:
            view = live.at(snapshot.version)
            if view.since <= snapshot.version:
                yield snapshot, view
                return
        # A rebuild ended just now; a fresh snapshot is newer than it.
