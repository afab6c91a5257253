"""RedisServer: a server that may be lost at any time, and is not waited for while it is."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from service.redis.lost import RedisLostError
from service.redis_settings import RedisSettings
from service.telemetry.redis import Purpose, RedisMetrics

_PROBE_S = 0.5
_MAX_CONNECTIONS = 32
_MILLISECONDS = 1000
# A write, as a server without memory or without a master answers every PING.
_PROBE = "return redis.call('SET', KEYS[1], '1', 'PX', 60000)"

_log = logging.getLogger("quarry.redis")

Argument = str | bytes | int
Wait = Callable[[float], Awaitable[None]]


class RedisServer:
    """Runs scripts; for the event loop, as an async context manager.

    The first call that is not answered in time loses the server for all: until it answers a probe, which is a task's
    business, whoever asks is told so at once. So a server that hangs is waited for once, whatever the load.

    Args:
        settings: with a ``url``.
        probe_s: between two looks at the server.
    """

    def __init__(self, settings: RedisSettings, metrics: RedisMetrics, probe_s: float = _PROBE_S) -> None:
        self._timeout_s = settings.timeout_ms / _MILLISECONDS
        self._prefix = settings.prefix
        self._calls = metrics.calls
        self._probe_s = probe_s
        self._pool = _pool(settings)
        self._client = Redis(connection_pool=self._pool)
        self._scripts: dict[str, Callable[..., Awaitable[Any]]] = {}
        self._cause: str | None = None
        self._was_late = asyncio.Event()
        self._since = time.monotonic()
        self._watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._probe()
        self._watching = asyncio.create_task(self._watch(), name="redis-probe")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watching:
            self._watching.cancel()
            await asyncio.wait({self._watching})
        with suppress(Exception):  # as in ``_bounded``; it is done with
            async with asyncio.timeout(self._timeout_s):
                await self._client.aclose()
                await self._pool.disconnect()

    @property
    def cause(self) -> str | None:
        """Why it is lost; None while it answers."""
        return self._cause

    def describe(self) -> dict[str, object]:
        """For the status page."""
        state = "connected" if self._cause is None else "lost"
        return {"state": state, "cause": self._cause, "for_s": round(time.monotonic() - self._since, 3)}

    def name(self, *parts: str) -> str:
        """Of a key there."""
        return ":".join((self._prefix, *parts))

    async def run(
        self, purpose: Purpose, script: str, keys: Sequence[str], arguments: Sequence[Argument] = (), patience: int = 1
    ) -> Any:  # noqa: ANN401  whatever the script returns
        """What a Lua script returns, which nothing comes in between of.

        Args:
            patience: waits of the settings, for what nobody waits for.

        Raises:
            RedisLostError: the server is lost, or was just now.
        """
        if self._cause is not None:
            self._calls.labels(purpose, "skipped").inc()
            raise RedisLostError(self._cause)
        return await self._bounded(purpose, self._script(script)(keys=keys, args=arguments), patience)

    @asynccontextmanager
    async def listening(self, channel: str) -> AsyncIterator[Wait]:
        """A wait for the next message, of so many seconds at most; messages may be lost, so look beside it.

        Raises:
            RedisLostError: there is no hearing it, at the beginning or in a wait; calls may be answered all the same.
        """
        if self._cause is not None:
            raise RedisLostError(self._cause)
        subscription = self._client.pubsub()

        async def heard(call: Awaitable[Any], within_s: float) -> None:
            try:
                async with asyncio.timeout(within_s):
                    await call
            except Exception as error:  # as in ``_bounded``
                raise RedisLostError(f"{error}") from error

        async def wait(seconds: float) -> None:
            await heard(subscription.get_message(timeout=seconds), seconds + self._timeout_s)

        try:
            await heard(subscription.subscribe(channel), self._timeout_s)
            yield wait
        finally:
            with suppress(Exception):  # as in ``_bounded``; it is done with
                async with asyncio.timeout(self._timeout_s):
                    await subscription.aclose()  # type: ignore[no-untyped-call]

    async def _bounded(self, purpose: Purpose, call: Awaitable[Any], patience: int = 1) -> Any:  # noqa: ANN401  as ``run``
        seconds = self._timeout_s * patience
        try:
            async with asyncio.timeout(seconds):
                reply = await call
        except Exception as error:  # the edge of the process: what is no Redis may send anything, in any state
            self._calls.labels(purpose, "failed").inc()
            is_late = type(error) is TimeoutError
            self._lose(f"no answer within {seconds * _MILLISECONDS:g} ms" if is_late else f"{error}")
            if (
                is_late and purpose != "probe"
            ):  # which this process may have been itself: then the next answer is as good as any
                self._was_late.set()
            raise RedisLostError(self._cause) from error
        self._calls.labels(purpose, "ok").inc()
        return reply

    def _script(self, text: str) -> Callable[..., Awaitable[Any]]:
        if text not in self._scripts:
            self._scripts[text] = self._client.register_script(text)
        return self._scripts[text]

    async def _watch(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._probe_s):
                    await self._was_late.wait()
            self._was_late.clear()
            await self._probe()

    async def _probe(self) -> None:
        with suppress(RedisLostError):
            await self._bounded("probe", self._script(_PROBE)(keys=[self.name("probe")]))
            self._find()

    def _lose(self, cause: str) -> None:
        if self._cause is None:
            self._since = time.monotonic()
            _log.warning("redis is lost, and is done without: %s", cause)
        self._cause = cause

    def _find(self) -> None:
        if self._cause is not None:
            self._cause, self._since = None, time.monotonic()
            _log.info("redis answers again")


def _pool(settings: RedisSettings) -> BlockingConnectionPool:
    assert settings.url is not None  # noqa: S101  else nobody makes one
    tls = {"ssl_ca_certs": str(settings.ca_certs)} if settings.ca_certs and settings.url.startswith("rediss") else {}
    pool = BlockingConnectionPool.from_url(
        settings.url,
        max_connections=_MAX_CONNECTIONS,
        timeout=settings.timeout_ms / _MILLISECONDS,
        username=settings.username,
        password=settings.password and settings.password.get_secret_value(),
        db=settings.database,
        retry=Retry(NoBackoff(), 0),  # whoever asks goes on without
        **tls,
    )
    assert isinstance(pool, BlockingConnectionPool)  # noqa: S101  the library's type says less
    return pool
