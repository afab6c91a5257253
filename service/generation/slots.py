"""The bounded queue in front of model servers: who waits for a place at one of them, the urgent ones first."""

import asyncio
from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

from service.budget import Deadline
from service.errors import LlmOverloadedError, LlmTimeoutError

# Weight of the newest in the mean time a place is held, and the bounds of what a caller is told to wait.
_NEWEST = 0.2
_MIN_RETRY_S = 0.5
_MAX_RETRY_S = 30.0
# Arrivals of those who wait a second time, and not for any place: before all others of their priority.
_AHEAD = -(2**62)

Place = TypeVar("Place")


@dataclass(order=True, slots=True)
class _Waiter(Generic[Place]):
    priority: int
    arrival: int
    take: Callable[[], Place | None] = field(compare=False)
    admitted: asyncio.Future[Place] = field(compare=False)


class Slots(Generic[Place]):
    """At most ``max_queued`` wait: by priority, the lowest number first, then by arrival.

    Who gives a place back, or knows of a new one, calls ``offer``.

    Args:
        places: how many there are now, taken or not.
    """

    def __init__(self, max_queued: int, places: Callable[[], int]) -> None:
        self._max_queued = max_queued
        self._places = places
        self._waiters: list[_Waiter[Place]] = []
        self._arrivals = count()
        self._arrivals_ahead = count(_AHEAD)
        self._held_s = 0.0

    @property
    def queued(self) -> int:
        """Callers that wait."""
        return len(self._waiters)

    async def taken(
        self,
        take: Callable[[], Place | None],
        leave: Callable[[Place], None],
        priority: int,
        deadline: Deadline,
        *,
        is_ahead: bool = False,
    ) -> Place:
        """What ``take`` gives, as soon as it gives one and nobody with an earlier turn can have it.

        Args:
            leave: gives back what was taken for a caller who went away in the same moment.
            is_ahead: it has waited before, and goes before all others of its priority; ``take`` may refuse places that
                others would have.

        Raises:
            LlmOverloadedError: the queue is full, or somebody more urgent took the place in it.
            LlmTimeoutError: the deadline passed in the queue.
        """
        place = take()
        if place is not None:
            return place
        arrival = next(self._arrivals_ahead if is_ahead else self._arrivals)
        admitted: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(priority, arrival, take, admitted)
        self._enqueue(waiter)
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await admitted
        except asyncio.CancelledError:
            self._give_up(waiter, leave)
            raise
        except TimeoutError:
            self._give_up(waiter, leave)
            raise LlmTimeoutError(
                f"the deadline of {deadline.budget_s:.1f} s passed before one of {self._places()} answers was finished"
            ) from None

    def held(self, seconds: float) -> None:
        """A place was held for so long; callers are told to wait by that."""
        self._held_s += _NEWEST * (seconds - self._held_s)

    def offer(self) -> None:
        """Let all go on, in turn, for whom there is a place, so that none is free while somebody waits for it."""
        waiting = []
        for position, waiter in enumerate(self._waiters):
            if waiter.admitted.done():
                continue
            place = waiter.take()
            if place is not None:
                waiter.admitted.set_result(place)
                continue
            waiting.append(waiter)
            if waiter.arrival >= 0:  # it would take any place: there is none for those after it either
                waiting += self._waiters[position + 1 :]
                break
        self._waiters = waiting

    def dismiss(self, error: Callable[[], Exception]) -> None:
        """Let all that wait fail, each with an error of its own."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.admitted.done():
                waiter.admitted.set_exception(error())

    def _enqueue(self, waiter: _Waiter[Place]) -> None:
        """Whoever is last in a queue that is too long leaves it."""
        insort(self._waiters, waiter)
        if len(self._waiters) > self._max_queued:
            # Who was cancelled but did not run since then waits no longer.
            self._waiters = [waiting for waiting in self._waiters if not waiting.admitted.done()]
        if len(self._waiters) > self._max_queued:
            self._waiters.pop().admitted.set_exception(self._overloaded())

    def _overloaded(self) -> LlmOverloadedError:
        wait_s = self._held_s * (len(self._waiters) + 1) / max(1, self._places())
        return LlmOverloadedError(
            f"{self._places()} answers are being written and {len(self._waiters)} wait, the limit is "
            f"{self._max_queued}",
            min(max(wait_s, _MIN_RETRY_S), _MAX_RETRY_S),
        )

    def _give_up(self, waiter: _Waiter[Place], leave: Callable[[Place], None]) -> None:
        """Wait no longer; a place that was given in the same moment goes to the next."""
        if waiter in self._waiters:
            self._waiters.remove(waiter)
        elif waiter.admitted.done() and not waiter.admitted.cancelled() and waiter.admitted.exception() is None:
            leave(waiter.admitted.result())
            self.offer()
