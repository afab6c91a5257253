"""Gate: many may pass it together, or one alone."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.errors import OverloadedError

_PATIENCE_S = 30.0
_RETRY_AFTER_S = 1.0


class Gate:
    """For threads. Who wants to be alone goes before those who come later, and never waits for them.

    Raises:
        OverloadedError: it was not free within 30 s; nothing was done.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting_alone = 0
        self._is_alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Pass beside others."""
        with self._changed:
            self._wait(lambda: not self._is_alone and not self._waiting_alone)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Pass when all have left, and keep the others out."""
        with self._changed:
            self._waiting_alone += 1
            try:
                self._wait(lambda: not self._is_alone and not self._inside)
                self._is_alone = True
            finally:
                self._waiting_alone -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()

    def _wait(self, is_free: Callable[[], bool]) -> None:
        if not self._changed.wait_for(is_free, timeout=_PATIENCE_S):
            raise OverloadedError(f"writes were held up for {_PATIENCE_S:g} s", _RETRY_AFTER_S)
