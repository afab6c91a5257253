"""The bounded queue in front of a model server: so many answers at once, so many that wait, the urgent ones first."""

import asyncio
import time
from bisect import insort
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from service.budget import Deadline
from service.errors import LlmOverloadedError, LlmTimeoutError

# Weight of the newest in the mean time a slot is held, and the bounds of what a caller is told to wait.
_NEWEST = 0.2
_MIN_RETRY_S = 0.5
_MAX_RETRY_S = 30.0


@dataclass(order=True, slots=True)
class _Waiter:
    priority: int
    arrival: int
    admitted: asyncio.Future[None] = field(compare=False)


class Slots:
    """At most ``most`` are held, at most ``max_queued`` wait: by priority, the lowest number first, then by arrival."""

    def __init__(self, most: int, max_queued: int) -> None:
        self._most = most
        self._max_queued = max_queued
        self._in_use = 0
        self._waiters: list[_Waiter] = []
        self._arrivals = count()
        self._held_s = 0.0

    @property
    def in_use(self) -> int:
        """Slots that are held."""
        return self._in_use

    @property
    def queued(self) -> int:
        """Callers that wait."""
        return len(self._waiters)

    @asynccontextmanager
    async def held(self, priority: int, deadline: Deadline) -> AsyncIterator[None]:
        """A slot for the block.

        Raises:
            LlmOverloadedError: the queue is full, or somebody more urgent took the place in it.
            LlmTimeoutError: the deadline passed in the queue.
        """
        await self._taken(priority, deadline)
        began = time.monotonic()
        try:
            yield
        finally:
            self._held_s += _NEWEST * (time.monotonic() - began - self._held_s)
            self._release()

    async def _taken(self, priority: int, deadline: Deadline) -> None:
        if self._in_use < self._most:
            self._in_use += 1
            return
        waiter = _Waiter(priority, next(self._arrivals), asyncio.get_running_loop().create_future())
        self._enqueue(waiter)
        try:
            async with asyncio.timeout(deadline.remaining()):
                await waiter.admitted
        except asyncio.CancelledError:
            self._leave(waiter)
            raise
        except TimeoutError:
            self._leave(waiter)
            raise LlmTimeoutError(
                f"the deadline of {deadline.budget_s:.1f} s passed before one of {self._most} answers was finished"
            ) from None

    def dismiss(self, error: Callable[[], Exception]) -> None:
        """Let all that wait fail, each with an error of its own."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.admitted.done():
                waiter.admitted.set_exception(error())

    def _enqueue(self, waiter: _Waiter) -> None:
        """Whoever is last in a queue that is too long leaves it."""
        insort(self._waiters, waiter)
        if len(self._waiters) > self._max_queued:
            # Who was cancelled but did not run since then waits no longer.
            self._waiters = [waiting for waiting in self._waiters if not waiting.admitted.done()]
        if len(self._waiters) > self._max_queued:
            self._waiters.pop().admitted.set_exception(self._overloaded())

    def _overloaded(self) -> LlmOverloadedError:
        wait_s = self._held_s * (len(self._waiters) + 1) / self._most
        return LlmOverloadedError(
            f"{self._most} answers are being written and {len(self._waiters)} wait, the limit is {self._max_queued}",
            min(max(wait_s, _MIN_RETRY_S), _MAX_RETRY_S),
        )

    def _leave(self, waiter: _Waiter) -> None:
        """Wait no longer; a slot that was given in the same moment goes to the next."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.admitted.done() and not waiter.admitted.cancelled() and waiter.admitted.exception() is None:
            self._release()

    def _release(self) -> None:
        """Hand the slot to the first that still waits, so that it is never free while somebody does."""
        while self._waiters:
            waiter = self._waiters.pop(0)
            if not waiter.admitted.done():
                waiter.admitted.set_result(None)
                return
        self._in_use -= 1
