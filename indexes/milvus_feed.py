"""MilvusFeed: what was committed goes to Milvus, in the order of the commits, before it is acknowledged.

No thread of its own: of those that wait for an acknowledgement one sends what has queued up, for all of them. New rows
go first, then searches that began with the old ones are waited for, then dead rows are deleted; so whoever searches
finds either. What Milvus did not take stays queued and goes first the next time.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from indexes.errors import MilvusUnavailableError

# Longest wait for another's sending, and for searches; these have ended long before, each with a time of its own.
_WAIT_S = 30.0


class Table(Protocol):
    """Where rows go."""

    def upsert(self, entities: Sequence[Mapping[str, Any]]) -> None:
        """Add rows, or replace those of the same numbers."""

    def delete(self, rows: Sequence[int]) -> None:
        """Remove rows by their numbers."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one commit did to the rows.

    Attributes:
        version: with this commit in it.
        added: as Milvus is given them.
        removed: numbers of rows.
    """

    version: int
    added: Sequence[Mapping[str, Any]] = ()
    removed: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class Sent:
    """What Milvus has; by default everything.

    Attributes:
        version: up to which.
        doomed: (version) -> rows that Milvus has, and that the store has no more at a version from then on.
    """

    version: int = sys.maxsize
    doomed: Callable[[int], AbstractSet[int]] = lambda _: frozenset()


class MilvusFeed:
    """The way from one store to its rows in Milvus. Every method may be called from any thread.

    Args:
        version: of the store, when it was opened.
    """

    def __init__(self, table: Table, version: int) -> None:
        self._table = table
        self._changed = threading.Condition()
        self._queue: list[Parcel] = []
        self._inserted = self._sent = self._queued = version
        self._is_sending = False
        self._searches: dict[int, int | None] = {}
        self._next_search = 0
        self._failures = 0
        self.failure: str = ""  # of the last sending; empty after one that did not fail

    @property
    def sent(self) -> int:
        """Version that Milvus has."""
        return self._sent

    @property
    def waiting(self) -> int:
        """Commits that Milvus does not have."""
        with self._changed:
            return len(self._queue)

    def check(self) -> None:
        """Before a write: send what an earlier one left behind.

        Raises:
            MilvusUnavailableError: it still cannot be sent; a write would be stored and not acknowledged either.
        """
        if self.failure:
            self.bring(self._last())

    def add(self, parcel: Parcel) -> None:
        """Queue a commit; on the writer thread, so in their order."""
        with self._changed:
            self._queue.append(parcel)
            self._queued = parcel.version
            self._changed.notify_all()

    def bring(self, version: int) -> None:
        """Return when Milvus has everything up to ``version``.

        Raises:
            MilvusUnavailableError: it did not take it.
        """
        self._until(lambda: self._sent >= version, version, lambda: list(self._queue))

    @contextmanager
    def searching(self) -> Iterator[Callable[[int], None]]:
        """Inside, a call with the version of a snapshot returns when Milvus has every row of it, and keeps them there.

        Raises:
            MilvusUnavailableError: it does not get them.
        """
        with self._changed:
            self._next_search += 1
            ticket = self._next_search
            self._searches[ticket] = None

        def pin(version: int) -> None:
            with self._changed:
                self._searches[ticket] = version
                self._changed.notify_all()
            # Nothing newer, as that would wait for this search to end.
            older = lambda: [parcel for parcel in self._queue if parcel.version <= version]  # noqa: E731  one of two
            self._until(lambda: self._inserted >= version, version, older)

        try:
            yield pin
        finally:
            with self._changed:
                del self._searches[ticket]
                self._changed.notify_all()

    @contextmanager
    def holding(self) -> Iterator[Sent]:
        """Inside nothing is sent.

        Raises:
            MilvusUnavailableError: another's sending did not end.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._is_sending, timeout=_WAIT_S):
                raise MilvusUnavailableError(self._said(self._sent))
            self._is_sending = True
            sent = Sent(self._sent, self._doomed)
        try:
            yield sent
        finally:
            with self._changed:
                self._is_sending = False
                self._changed.notify_all()

    def _doomed(self, version: int) -> AbstractSet[int]:
        """A commit is in the store a moment before it is queued."""
        with self._changed:
            self._changed.wait_for(lambda: self._queued >= version, timeout=_WAIT_S)
            return frozenset(row for parcel in self._queue for row in parcel.removed)

    def _last(self) -> int:
        with self._changed:
            return self._queue[-1].version if self._queue else self._sent

    def _until(self, is_reached: Callable[[], bool], version: int, sendable: Callable[[], list[Parcel]]) -> None:
        """Wait, and send where nobody else does; a sending that fails has failed for all who wait for it."""
        end, failures = time.monotonic() + _WAIT_S, self._failures
        while True:
            with self._changed:
                while not is_reached():
                    parcels = [] if self._is_sending else sendable()
                    if parcels and self._failures == failures:
                        break
                    left = end - time.monotonic()
                    if self._failures > failures or left <= 0 or not self._changed.wait(left):
                        raise MilvusUnavailableError(self._said(version))
                else:
                    return
                self._is_sending = True
            self._send(parcels)

    def _said(self, version: int) -> str:
        reason = self.failure or f"no more came within {_WAIT_S:g} s"
        return f"Milvus has version {self._sent} of the collection, not {version}: {reason}"

    def _send(self, parcels: Sequence[Parcel]) -> None:
        failure = "it was cut short"
        try:
            self._deliver(parcels)
            failure = ""
        except MilvusUnavailableError as error:
            failure = str(error)
            raise
        finally:
            with self._changed:
                self._is_sending = False
                self.failure = failure
                self._failures += bool(failure)
                if not failure:
                    del self._queue[: len(parcels)]
                    self._sent = parcels[-1].version
                self._changed.notify_all()

    def _deliver(self, parcels: Sequence[Parcel]) -> None:
        """Rows that came and went within are sent all the same: a search may be pinned in between."""
        added = [entity for parcel in parcels for entity in parcel.added]
        removed = [row for parcel in parcels for row in parcel.removed]
        version = parcels[-1].version
        if added:
            self._table.upsert(added)
        with self._changed:
            self._inserted = max(self._inserted, version)
            self._changed.notify_all()
            if removed:
                self._changed.wait_for(lambda: not self._searched_before(version), timeout=_WAIT_S)
        if removed:
            self._table.delete(removed)

    def _searched_before(self, version: int) -> bool:
        return any(pinned is None or pinned < version for pinned in self._searches.values())
