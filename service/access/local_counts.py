"""LocalCounts: what keys ask of this process alone; nothing of it outlives the process."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Self

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from service.access.counts import SLOT_S, Refusal, Slot, Standing, Unit, windows_of
from service.access.key import KeyLimits


class LocalCounts:
    """As ``Counts``, in memory.

    Args:
        clock: Unix time, as the windows have it.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._storage = MemoryStorage()
        self._windows = FixedWindowRateLimiter(self._storage)
        self._running: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._storage.timer:  # forgets windows that are over
            await self._storage.timer

    async def take(self, key_id: str, limits: KeyLimits) -> Slot | Refusal:
        """As ``Counts.take``."""
        slot = self.hold(key_id)
        try:
            refusal = await self._refusal(key_id, limits)
        except BaseException:
            slot.give_back()
            raise
        if refusal is None:
            return slot
        slot.give_back()
        return refusal

    def hold(self, key_id: str) -> Slot:
        """A slot, whatever the limit is."""
        self._running[key_id] += 1
        return Slot(partial(self._end, key_id))

    async def note(self, key_id: str, limits: KeyLimits) -> None:
        """Count a request that others have let in, so that it counts here should they be lost."""
        if limits.requests_per_minute is not None:
            await self._windows.hit(_window(limits.requests_per_minute), "requests", key_id)

    async def spend(self, key_id: str, limit: int, tokens: int) -> None:
        """As ``Counts.spend``."""
        await self._windows.hit(_window(limit), "tokens", key_id, cost=tokens)

    async def standings(self, key_id: str, limits: KeyLimits) -> list[Standing]:
        """As ``Counts.standings``."""
        return [await self._standing(key_id, unit, limit) for unit, limit in windows_of(limits)]

    def running(self, key_id: str) -> int:
        """As ``Counts.running``."""
        return self._running[key_id]

    async def _refusal(self, key_id: str, limits: KeyLimits) -> Refusal | None:
        most, tokens, requests = limits.concurrency, limits.tokens_per_minute, limits.requests_per_minute
        if most is not None and self._running[key_id] > most:
            return Refusal("concurrency", SLOT_S)
        if tokens is not None and not await self._windows.test(_window(tokens), "tokens", key_id):
            return Refusal("tokens", (await self._standing(key_id, "tokens", tokens)).reset_s)
        if requests is not None and not await self._windows.hit(_window(requests), "requests", key_id):
            return Refusal("requests", (await self._standing(key_id, "requests", requests)).reset_s)
        return None

    async def _standing(self, key_id: str, unit: Unit, limit: int) -> Standing:
        reset_at, remaining = await self._windows.get_window_stats(_window(limit), unit, key_id)
        return Standing(unit, limit, remaining, max(0.0, reset_at - self._clock()))

    def _end(self, key_id: str) -> None:
        self._running[key_id] -= 1
        if not self._running[key_id]:
            del self._running[key_id]


def _window(limit: int) -> RateLimitItemPerMinute:
    return RateLimitItemPerMinute(limit)
