"""The view that searches take, followed by every commit and swapped whole by whoever builds a better one."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from indexes.attributes import Attributes
from indexes.errors import StoreUnavailableError
from indexes.rows import Rows
from indexes.store import Change
from indexes.view import Sealed, View

# Memory follows a commit within microseconds; a search waits this long at most.
_CATCH_UP_S = 10.0
# Changes that are replayed while commits and the searches that follow them wait.
_FEW_CHANGES = 64
# Rounds of replaying more than these beforehand; each is shorter than the one before, as writing takes longer.
_MOST_ROUNDS = 16


class LiveView:
    """One pointer to a ``View``. Read by any thread without a lock; replaced under one."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._swap = threading.Condition()
        self._recorded: list[Change] | None = None
        self.is_behind = False  # a commit could not be followed: the rows are not the store's any more

    @property
    def now(self) -> View:
        """What a search that starts now works on."""
        return self._view

    def at(self, version: int) -> View:
        """The view, once it has followed the store to ``version``: a commit is on disk a moment before it is here.

        Raises:
            StoreUnavailableError: it does not get there.
        """
        view = self._view
        if view.version >= version:
            return view
        with self._swap:
            if not self._swap.wait_for(lambda: self._view.version >= version, timeout=_CATCH_UP_S):
                raise StoreUnavailableError(f"the index is at version {self._view.version}, the store at {version}")
            return self._view

    def apply(self, change: Change) -> None:
        """Follow a committed change; on the writer thread."""
        with self._swap:
            if self._recorded is not None:
                self._recorded.append(change)
            try:
                follow(self._view.rows, self._view.attributes, change)
            except BaseException:
                self.is_behind = True  # the commit stands; only reading the store again makes up for it
                raise
            finally:
                self._view = replace(self._view, version=max(change.version, self._view.version))
                self._swap.notify_all()

    def seal(self, sealed: Sealed) -> None:
        """Another index, or another setting of it, over a prefix of the same rows."""
        with self._swap:
            self._view = replace(self._view, sealed=sealed)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """From here on changes are remembered, for rows that are read from the store inside the block."""
        with self._swap:
            self._recorded = []
        try:
            yield
        finally:
            with self._swap:
                self._recorded = None

    def replace(self, rows: Rows, attributes: Attributes, sealed: Sealed | None, read_at: int) -> None:
        """Swap in rows that were read from the store; inside ``recording``.

        What was committed since the recording began is replayed first. It may have been read already: rows that are
        there are not added again, and searches at versions before the swap keep to the view they have.

        Args:
            read_at: version of the store at which the last of them may have been read.

        Raises:
            StoreUnavailableError: what was read does not get here.
        """
        # A search at a version before what was read would miss the rows that were replaced in between.
        self.at(read_at)
        for _ in range(_MOST_ROUNDS):
            changes = self._taken()
            for change in changes:
                follow(rows, attributes, change)
            if len(changes) <= _FEW_CHANGES:
                break
        with self._swap:
            for change in self._recorded or ():
                follow(rows, attributes, change)
            version = self._view.version
            self.is_behind = False
            self._view = View(rows, attributes, sealed, version, since=version)

    def _taken(self) -> list[Change]:
        with self._swap:
            taken, self._recorded = self._recorded or [], []
            return taken


def follow(rows: Rows, attributes: Attributes, change: Change) -> None:
    """Do to ``rows`` what the change did to the store, as far as it is not done."""
    if len(change.removed):
        rows.kill(change.removed, change.version)
    if change.vectors is not None and len(change.added) and change.added[0] > rows.last_id:
        # The attributes first: a search that sees the rows finds their document.
        ordinal = attributes.append(change.metadata or {})
        rows.append(change.added, np.full(len(change.added), ordinal), change.vectors, change.version)
