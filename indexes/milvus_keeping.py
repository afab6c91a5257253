"""MilvusKeeping: brings Milvus to where the store is, after a crash, a loss, or a time in which it did not answer."""

import threading
import time
from typing import NoReturn

from indexes.errors import IndexesError, NothingSealedError
from indexes.milvus_client import MilvusTable
from indexes.milvus_comparison import Comparison, Difference
from indexes.milvus_feed import MilvusFeed
from indexes.store import Store
from indexes.work import Work

# Before something that failed is tried again.
_PAUSE_S = 10.0


class MilvusKeeping:
    """One step at a time; searches and writes go on.

    Args:
        is_whole: Milvus had every row when the collection was last closed.
    """

    def __init__(self, store: Store, table: MilvusTable, feed: MilvusFeed, *, is_whole: bool) -> None:
        self._store = store
        self._table = table
        self._feed = feed
        self._working = threading.Lock()
        self._not_before = 0.0
        self._failure = ""
        self.is_whole = is_whole
        self.working_on: Work | None = None

    @property
    def is_due(self) -> bool:
        """Something is to be sent or compared, and was not tried a moment ago."""
        return bool(not self.is_whole or self._feed.failure) and time.monotonic() >= self._not_before

    @property
    def trouble(self) -> list[str]:
        """What Milvus does not have, and why."""
        said = [] if self.is_whole else ["Milvus may lack rows, or have some that are deleted: not compared yet"]
        return said + [reason for reason in (self._feed.failure, self._failure) if reason]

    def step(self) -> str | None:
        """``compared`` or ``sent``; None where nothing is due.

        Raises:
            MilvusUnavailableError, RowTooLargeError, StoreUnavailableError: it is tried again after a pause.
        """
        if not self.is_due:
            return None
        try:
            if self.is_whole:
                self._feed.check()
                return "sent"
            self.compare()
            return "compared"
        except IndexesError as error:
            self._failure, self._not_before = str(error), time.monotonic() + _PAUSE_S
            raise

    def compare(self, *, deep: bool = False) -> Difference:
        """Make the rows in Milvus those of the store, see ``Comparison.mended``.

        Raises:
            MilvusUnavailableError, RowTooLargeError, StoreUnavailableError: as ``Comparison.mended``.
        """
        with self._working:
            try:
                mended = self._comparison("comparing with Milvus").mended(deep=deep)
            finally:
                self.working_on = None
            self.is_whole, self._failure = True, ""
            return mended

    def look(self) -> Difference:
        """What ``compare`` would do, by every byte of the rows in Milvus.

        Raises:
            MilvusUnavailableError, RowTooLargeError, StoreUnavailableError: as ``compare``.
        """
        with self._working:
            try:
                return self._comparison("verifying").found()
            finally:
                self.working_on = None

    def calibrate(self) -> NoReturn:
        """There is no curve here: Milvus' parameters are settings.

        Raises:
            NothingSealedError: always.
        """
        raise NothingSealedError(0, 1)

    def _comparison(self, what: str) -> Comparison:
        def progress(done: int, total: int) -> None:
            self.working_on = Work(what, done, total)

        self.working_on = Work(what)
        return Comparison(self._store, self._table, self._feed.holding, progress)
