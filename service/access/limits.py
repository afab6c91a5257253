"""Limits: how much each key may ask for, counted while the server runs."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import FixedWindowRateLimiter

from service.access.caller import key_id_of
from service.access.key import UNLIMITED, Key, KeyLimits
from service.access.keys import ADMIN_ID, Keys
from service.errors import RateLimitedError
from service.telemetry.access import AccessMetrics

Unit = Literal["requests", "tokens"]

# A slot is free when a request ends, and nobody knows when that is.
_SLOT_S = 1.0
_LEAST_S = 0.001


@dataclass(frozen=True, slots=True)
class Standing:
    """What a key has left of a limit.

    Attributes:
        limit: in a minute.
        reset_s: until all of it is there again.
    """

    unit: Unit
    limit: int
    remaining: int
    reset_s: float


class Slot:
    """One of the requests that a key may have at a time."""

    def __init__(self, running: Counter[str], key_id: str) -> None:
        self._running = running
        self._key_id = key_id
        self._is_held = True
        running[key_id] += 1

    def give_back(self) -> None:
        """The request has ended; to say it again changes nothing."""
        if not self._is_held:
            return
        self._is_held = False
        self._running[self._key_id] -= 1
        if not self._running[self._key_id]:
            del self._running[self._key_id]


class Limits:
    """Counts by key, on the event loop; an async context manager. Nothing of it outlives the process.

    A window begins with the first request or token after the last one ended, and takes a minute. Tokens are counted
    once they are known, after the request that they belong to was taken on.

    Args:
        keys: those that are limited; the configured one is the operator's, and is not.
        defaults: for what a key does not limit itself.
        clock: Unix time, as the windows have it.
    """

    def __init__(
        self, keys: Keys, defaults: KeyLimits, metrics: AccessMetrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._keys = keys
        self._defaults = defaults
        self._metrics = metrics
        self._clock = clock
        self._storage = MemoryStorage()
        self._windows = FixedWindowRateLimiter(self._storage)
        self._running: Counter[str] = Counter()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._storage.timer:  # forgets windows that are over
            await self._storage.timer

    async def take(self, key: Key) -> Slot:
        """Take a request on, which has the slot until it is given back.

        Raises:
            RateLimitedError: a limit of the key is used up.
        """
        slot = Slot(self._running, key.id)
        try:
            await self._admit(key)
        except BaseException:
            slot.give_back()
            raise
        return slot

    def running(self, key: Key) -> int:
        """Requests that were taken on and have not ended."""
        return self._running[key.id]

    async def spent(self, caller: str, tokens: int) -> None:
        """Count what the models read and wrote for a caller; of one without a key nothing is counted."""
        key_id = key_id_of(caller)
        key = self._keys.get(key_id) if key_id else None
        if key_id is None or tokens <= 0 or (key is None and key_id != ADMIN_ID):
            return
        self._metrics.tokens.labels(key_id).inc(tokens)
        limit = self._of(key).tokens_per_minute if key else None
        if limit is not None:
            await self._windows.hit(_window(limit), "tokens", key_id, cost=tokens)

    async def standings(self, key: Key) -> list[Standing]:
        """What the key has left of each limit that has a window."""
        limits = self._of(key)
        known: tuple[tuple[Unit, int | None], ...] = (
            ("requests", limits.requests_per_minute),
            ("tokens", limits.tokens_per_minute),
        )
        return [await self._standing(key, unit, limit) for unit, limit in known if limit is not None]

    async def _admit(self, key: Key) -> None:
        """What is refused for its tokens or its concurrency does not count as a request."""
        limits = self._of(key)
        self._metrics.requests.labels(key.id).inc()
        most, tokens, requests = limits.concurrency, limits.tokens_per_minute, limits.requests_per_minute
        if most is not None and self._running[key.id] > most:
            raise self._refused(key, "concurrency", f"{most} requests at a time", _SLOT_S)
        if tokens is not None and not await self._windows.test(_window(tokens), "tokens", key.id):
            standing = await self._standing(key, "tokens", tokens)
            raise self._refused(key, "tokens", f"{tokens} tokens a minute", standing.reset_s)
        if requests is not None and not await self._windows.hit(_window(requests), "requests", key.id):
            standing = await self._standing(key, "requests", requests)
            raise self._refused(key, "requests", f"{requests} requests a minute", standing.reset_s)

    def _refused(self, key: Key, limit: str, said: str, after_s: float) -> RateLimitedError:
        self._metrics.refused.labels(key.id, limit).inc()
        return RateLimitedError(key.id, said, max(_LEAST_S, after_s))

    async def _standing(self, key: Key, unit: Unit, limit: int) -> Standing:
        reset_at, remaining = await self._windows.get_window_stats(_window(limit), unit, key.id)
        return Standing(unit, limit, remaining, max(0.0, reset_at - self._clock()))

    def _of(self, key: Key) -> KeyLimits:
        if key.id == ADMIN_ID:
            return UNLIMITED
        own, default = key.limits, self._defaults
        return KeyLimits(
            default.requests_per_minute if own.requests_per_minute is None else own.requests_per_minute,
            default.tokens_per_minute if own.tokens_per_minute is None else own.tokens_per_minute,
            default.concurrency if own.concurrency is None else own.concurrency,
        )


def _window(limit: int) -> RateLimitItemPerMinute:
    return RateLimitItemPerMinute(limit)
