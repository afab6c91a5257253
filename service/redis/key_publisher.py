"""KeyPublisher: the task of the process whose keys others take: keeps Redis at what holds here."""

import asyncio
import logging
from contextlib import suppress
from typing import Self

from service.access.key import Key
from service.access.keys import Keys
from service.access.stored_keys import written
from service.redis.lost import RedisLostError
from service.redis.published_keys import PublishedKeys

LOOK_S = 1.0

_log = logging.getLogger("quarry.redis")


class KeyPublisher:
    """Publishes every change at once, and looks now and then whether it is still there; an async context manager.

    Args:
        look_s: between two looks: Redis may have lost it, or somebody put something else there.
    """

    def __init__(self, keys: Keys, published: PublishedKeys, look_s: float = LOOK_S) -> None:
        self._keys = keys
        self._published = published
        self._look_s = look_s
        self._changed = asyncio.Event()
        self._held: list[Key] = []
        self._value = b""
        self._publishing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._changed.set)

        self._keys.on_change(wake)
        self._publishing = asyncio.create_task(self._publish_for_ever(), name="redis-keys")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._keys.on_change(lambda: None)
        if self._publishing:
            self._publishing.cancel()
            await asyncio.wait({self._publishing})

    async def publish(self) -> None:
        """Let what holds here be what is there.

        Raises:
            RedisLostError: it may not be.
        """
        held = self._keys.listed()
        if not self._value or held != self._held:
            self._value = self._published.sealed(await asyncio.to_thread(written, held))
            await self._published.write(self._value)
            self._held = held
        elif await self._published.mark() != self._published.mark_of(self._value):
            _log.warning("the published keys were gone or others': they are published again; is there a second writer?")
            await self._published.write(self._value)

    async def _publish_for_ever(self) -> None:
        while True:
            with suppress(RedisLostError):  # the next look finds that it is not there
                await self.publish()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._changed.wait()
            self._changed.clear()
