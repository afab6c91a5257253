"""Limits: how much each key may ask for."""

from contextlib import AbstractAsyncContextManager
from typing import Self

from service.access.caller import key_id_of
from service.access.counts import Counts, Limit, Refusal, Slot, Standing
from service.access.key import ADMIN_ID, UNLIMITED, Key, KeyLimits
from service.access.key_book import KeyBook
from service.errors import RateLimitedError
from service.telemetry.access import AccessMetrics

_LEAST_S = 0.001


class Limits(AbstractAsyncContextManager["Limits"]):
    """Refuses what is beyond a key's limits, on the event loop.

    Tokens are counted once they are known, after the request that they belong to was taken on.

    Args:
        keys: those that are limited; the configured one is the operator's, and is not.
        defaults: for what a key does not limit itself.
        counts: end with this.
    """

    def __init__(self, keys: KeyBook, defaults: KeyLimits, metrics: AccessMetrics, counts: Counts) -> None:
        self._keys = keys
        self._defaults = defaults
        self._metrics = metrics
        self._counts = counts

    async def __aenter__(self) -> Self:
        await self._counts.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._counts.__aexit__(None, None, None)

    async def take(self, key: Key) -> Slot:
        """Take a request on, which has the slot until it is given back.

        What is refused for its tokens or its concurrency does not count as a request.

        Raises:
            RateLimitedError: a limit of the key is used up.
        """
        limits = self._of(key)
        self._metrics.requests.labels(key.id).inc()
        outcome = await self._counts.take(key.id, limits)
        if isinstance(outcome, Refusal):
            self._metrics.refused.labels(key.id, outcome.limit).inc()
            raise RateLimitedError(key.id, _said(outcome.limit, limits), max(_LEAST_S, outcome.after_s))
        return outcome

    def running(self, key: Key) -> int:
        """Requests that were taken on here and have not ended."""
        return self._counts.running(key.id)

    async def spent(self, caller: str, tokens: int) -> None:
        """Count what the models read and wrote for a caller; of one without a key nothing is counted."""
        key_id = key_id_of(caller)
        key = self._keys.get(key_id) if key_id else None
        if key_id is None or tokens <= 0 or (key is None and key_id != ADMIN_ID):
            return
        self._metrics.tokens.labels(key_id).inc(tokens)
        limit = self._of(key).tokens_per_minute if key else None
        if limit is not None:
            await self._counts.spend(key_id, limit, tokens)

    async def standings(self, key: Key) -> list[Standing]:
        """What the key has left of each limit that has a window."""
        return await self._counts.standings(key.id, self._of(key))

    def _of(self, key: Key) -> KeyLimits:
        if key.id == ADMIN_ID:
            return UNLIMITED
        own, default = key.limits, self._defaults
        return KeyLimits(
            default.requests_per_minute if own.requests_per_minute is None else own.requests_per_minute,
            default.tokens_per_minute if own.tokens_per_minute is None else own.tokens_per_minute,
            default.concurrency if own.concurrency is None else own.concurrency,
        )


def _said(limit: Limit, limits: KeyLimits) -> str:
    match limit:
        case "requests":
            return f"{limits.requests_per_minute} requests a minute"
        case "tokens":
            return f"{limits.tokens_per_minute} tokens a minute"
        case "concurrency":
            return f"{limits.concurrency} requests at a time"
