"""PublishedKeys: every key of one process as others may read it in Redis: hashes, and no secret."""

from service.redis.seal import Seal
from service.redis.server import RedisServer

_PATIENCE = 20  # nobody waits for it, and 10,000 keys are some megabytes
_MARK_BYTES = 32
_MAX_BYTES = 64 * 1024 * 1024

# A message is a courtesy: whoever looks by itself finds it too.
_WRITE = """
redis.call('SET', KEYS[1], ARGV[1])
redis.pcall('PUBLISH', KEYS[2], '')
"""
_READ = "return redis.call('GETRANGE', KEYS[1], 0, ARGV[1])"
_MARK = f"""
local size = redis.call('STRLEN', KEYS[1])
if size == 0 then return '' end
return redis.call('GETRANGE', KEYS[1], 0, {_MARK_BYTES - 1}) .. size
"""


class PublishedKeys:
    """The place in Redis, and what is sealed there.

    Attributes:
        channel: where a change is told.
    """

    def __init__(self, server: RedisServer, seal: Seal) -> None:
        self._server = server
        self._seal = seal
        self._name = server.name("keys", "book")
        self.channel = server.name("keys", "changed")

    def sealed(self, data: bytes) -> bytes:
        """As it is written; begins with its mark."""
        return self._seal.sealed(self._name, data)

    def opened(self, value: bytes) -> bytes | None:
        """The data; None where it was not sealed by who has the secret."""
        return self._seal.opened(self._name, value)

    @staticmethod
    def mark_of(value: bytes) -> bytes:
        """By which two sealed values are told apart, and a whole one from one that is cut."""
        return value[:_MARK_BYTES] + str(len(value)).encode()

    async def mark(self) -> bytes:
        """Of what is there; empty where nothing is.

        Raises:
            RedisLostError: there is no knowing.
        """
        found: bytes = await self._server.run("keys", _MARK, [self._name], patience=_PATIENCE)
        return found

    async def read(self) -> bytes:
        """What is there, sealed, as ``mark``."""
        found: bytes = await self._server.run("keys", _READ, [self._name], [_MAX_BYTES - 1], patience=_PATIENCE)
        return found

    async def write(self, value: bytes) -> None:
        """Put a sealed value there, and tell whoever listens.

        Raises:
            RedisLostError: whether it is there nobody knows.
        """
        await self._server.run("keys", _WRITE, [self._name, self.channel], [value], patience=_PATIENCE)
