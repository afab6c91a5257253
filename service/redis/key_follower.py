"""KeyFollower: the task of a process that takes its keys from another."""

import asyncio
import logging
from contextlib import suppress
from typing import Self

from service.access.replicated_keys import ReplicatedKeys
from service.access.stored_keys import DamagedKeysError, read
from service.redis.lost import RedisLostError
from service.redis.published_keys import PublishedKeys
from service.redis.server import RedisServer

LOOK_S = 1.0

_log = logging.getLogger("quarry.redis")


class KeyFollower:
    """Looks when it is told to, and every so often, as messages may be lost; an async context manager.

    Args:
        keys: are told.
        look_s: between two looks at most.
    """

    def __init__(
        self, keys: ReplicatedKeys, published: PublishedKeys, server: RedisServer, look_s: float = LOOK_S
    ) -> None:
        self._keys = keys
        self._published = published
        self._server = server
        self._look_s = look_s
        self._mark = b""
        self._refused = b""
        self._following: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        with suppress(RedisLostError):
            await self.look()
        self._following = asyncio.create_task(self._follow(), name="redis-keys")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._following:
            self._following.cancel()
            await asyncio.wait({self._following})

    async def look(self) -> None:
        """Take over what is published; what cannot be trusted changes nothing.

        Raises:
            RedisLostError: there is no knowing.
        """
        mark = await self._published.mark()
        if mark and mark == self._mark:
            self._keys.confirm()
        elif mark:
            await self._take_over(await self._published.read())

    async def _take_over(self, value: bytes) -> None:
        mark, data = self._published.mark_of(value), self._published.opened(value)
        try:
            if data is None:
                raise DamagedKeysError("redis.secret is not the one that they were sealed with")
            self._keys.tell(await asyncio.to_thread(read, data))
        except DamagedKeysError as error:
            if mark != self._refused:  # it is looked at again every time, as its writer may put the same there
                _log.error("published keys are refused, and those that were known are kept: %s", error)
            self._refused = mark
        else:
            self._mark = mark

    async def _follow(self) -> None:
        while True:
            with suppress(RedisLostError):
                async with self._server.listening(self._published.channel) as wait:
                    while True:
                        await self.look()
                        await wait(self._look_s)
            with suppress(RedisLostError):  # nobody is heard, but calls may be answered
                await self.look()
            await asyncio.sleep(self._look_s)
