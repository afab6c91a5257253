"""The one thread that keeps lexical indexes: it brings new rows to the disk, and builds what is missing."""

import math
import threading
import time
from contextlib import suppress

from indexes.background import work_in_the_background
from indexes.lexical import LexicalIndex

# Longest wait; whatever becomes due wakes the thread anyway.
_WAIT_S = 60.0


class LexicalThread:
    """One for all collections of a data directory; the index that has waited longest is next."""

    def __init__(self) -> None:
        self._indexes: list[LexicalIndex] = []
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="quarry-lexical", daemon=True)
        self._thread.start()

    def keep(self, index: LexicalIndex) -> None:
        """Do from now on what is due in it, until it is closed."""
        with self._changed:
            self._indexes.append(index)
        index.wakes(self._wake)
        self._wake()

    def close(self) -> None:
        """End the thread after the step it is at; what is in memory only is read from the store at the next start."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        work_in_the_background()
        while self._step():
            pass

    def _step(self) -> bool:
        """Do what is due next; false at the end. Nothing here holds an index between two steps, whose files it maps."""
        index = self._next()
        if index is None:
            return False
        # A loop edge: the index tells of its failure, pauses before it tries again, and serves what it has.
        with suppress(Exception):
            index.step()
        return True

    def _next(self) -> LexicalIndex | None:
        """The index that is due, once there is one; None at the end."""
        with self._changed:
            while not self._closed:
                due, index = self._first_due()
                wait = due - time.monotonic()
                if index is not None and wait <= 0:
                    return index
                del index  # it may be closed while this waits
                self._changed.wait(min(wait, _WAIT_S))
            return None

    def _first_due(self) -> tuple[float, LexicalIndex | None]:
        self._indexes = [each for each in self._indexes if not each.is_closed]
        return min(((each.due_at, each) for each in self._indexes), key=lambda one: one[0], default=(math.inf, None))
