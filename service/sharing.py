"""Sharing: what this process shares with others by way of Redis, or has for itself where none is configured."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from service.access.counts import Counts
from service.access.key_book import KeyBook
from service.access.keys import Keys
from service.access.local_counts import LocalCounts
from service.access.opened import own_keys, replicated_keys
from service.access.replicated_keys import ReplicatedKeys
from service.errors import ExtraMissingError
from service.redis.seal import Seal
from service.results.in_process import InProcessResults
from service.results.store import ResultStore
from service.settings import Settings
from service.telemetry.metrics import Metrics

if TYPE_CHECKING:  # the client is an extra
    from service.redis.server import RedisServer

Lost = Literal["redis", "keys"]

# Replicated keys that are this old were looked for in vain more than once.
_OLD_KEYS_S = 5.0


@dataclass(frozen=True, slots=True)
class Sharing:
    """One of each.

    Attributes:
        server: None where there is no Redis.
        results: where they are remembered; None is nowhere.
    """

    server: "RedisServer | None"
    keys: KeyBook
    counts: Counts
    results: ResultStore | None

    @property
    def lost(self) -> list[Lost]:
        """What this process does without now."""
        lost: list[Lost] = ["redis"] if self.server is not None and self.server.cause is not None else []
        return [*lost, "keys"] if self._keys_age_s > _OLD_KEYS_S else lost

    def describe(self) -> dict[str, object] | None:
        """For the status page; None where nothing is shared."""
        if self.server is None:
            return None
        keys = {
            "trouble": self.keys.trouble,
            "holding": len(self.keys.holding),
            "age_s": round(self._keys_age_s, 3),
        }
        return {**self.server.describe(), "limits": "own" if self.server.cause else "shared", "keys": keys}

    @property
    def _keys_age_s(self) -> float:
        return self.keys.age_s if isinstance(self.keys, ReplicatedKeys) else 0.0


async def open_sharing(stack: AsyncExitStack, settings: Settings, metrics: Metrics) -> Sharing:
    """What the settings share, under the lock of the data directory.

    Raises:
        KeysUnavailableError, KeylessError: see ``own_keys``.
        ExtraMissingError: Redis is configured, and the extra is not installed.
    """
    if settings.redis.url is None:
        keys = await asyncio.to_thread(own_keys, settings)
        return Sharing(None, keys, LocalCounts(), _own_results(settings, metrics))
    try:
        return await _open_shared(stack, settings, metrics)
    except ImportError as error:
        raise ExtraMissingError("redis.url", settings.redis.url, "redis", "redis") from error


async def _open_shared(stack: AsyncExitStack, settings: Settings, metrics: Metrics) -> Sharing:
    from service.redis.server import RedisServer  # noqa: PLC0415  as above
    from service.redis.shared_counts import SharedCounts  # noqa: PLC0415

    server = RedisServer(settings.redis, metrics.redis)
    keys: KeyBook = replicated_keys(settings) if _replicates(settings) else await asyncio.to_thread(own_keys, settings)
    await stack.enter_async_context(server)
    await _share_keys(stack, settings, server, keys, metrics)
    counts = SharedCounts(server, LocalCounts(), settings.redis.lease_ms)
    return Sharing(server, keys, counts, _results(settings, server, metrics))


def _replicates(settings: Settings) -> bool:
    return settings.access.keys == "replicated"


async def _share_keys(
    stack: AsyncExitStack, settings: Settings, server: "RedisServer", keys: KeyBook, metrics: Metrics
) -> None:
    """Publish them, or follow those that another process publishes."""
    from service.redis.key_follower import KeyFollower  # noqa: PLC0415  as above
    from service.redis.key_publisher import KeyPublisher  # noqa: PLC0415
    from service.redis.published_keys import PublishedKeys  # noqa: PLC0415

    published = PublishedKeys(server, _seal(settings))
    if isinstance(keys, ReplicatedKeys):
        metrics.redis.follow_keys(lambda: keys.age_s)
        await stack.enter_async_context(KeyFollower(keys, published, server))
    elif settings.access.keys == "published" and isinstance(keys, Keys):
        await stack.enter_async_context(KeyPublisher(keys, published))


def _seal(settings: Settings) -> Seal:
    secret = settings.redis.secret
    assert secret is not None  # noqa: S101  the settings have one where they have a url
    return Seal(secret.get_secret_value())


def _results(settings: Settings, server: "RedisServer", metrics: Metrics) -> ResultStore | None:
    from service.redis.shared_results import SharedResults  # noqa: PLC0415  as above

    results = settings.results
    if results.cache != "redis":
        return _own_results(settings, metrics)
    return SharedResults(server, _seal(settings), results.cache_bytes, results.cache_s)


def _own_results(settings: Settings, metrics: Metrics) -> ResultStore | None:
    results = settings.results
    if results.cache == "off":
        return None
    return InProcessResults(results.cache_bytes, results.cache_s, metrics.results)
