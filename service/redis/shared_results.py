"""SharedResults: results in Redis, for every process of the same secret."""

from service.redis.lost import RedisLostError
from service.redis.seal import Seal
from service.redis.server import Argument, RedisServer
from service.telemetry.results import Lookup

_MILLISECONDS = 1000
# What an entry takes there beside its name and its value.
_OVERHEAD_BYTES = 256

_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
# Keys: values by name, names by the end of their time.
_GET = f"""{_NOW}
local ends = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not ends or tonumber(ends) <= now then return false end
return redis.call('HGET', KEYS[1], ARGV[1])
"""
# Keys: likewise, and the bytes of all. Arguments: name, value, milliseconds, most bytes, overhead. What was written
# first goes first, which is what ends first.
_PUT = f"""{_NOW}
local total = tonumber(redis.call('GET', KEYS[3]) or 0) or 0
if redis.call('ZCARD', KEYS[2]) == 0 then
  redis.call('DEL', KEYS[1])
  total = 0
end
local function drop(name)
  total = total - redis.call('HSTRLEN', KEYS[1], name) - ARGV[5]
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[2], name)
end
if redis.call('ZSCORE', KEYS[2], ARGV[1]) then drop(ARGV[1]) end
local size, most = #ARGV[2] + ARGV[5], tonumber(ARGV[4])
while true do
  local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  if #first == 0 or (tonumber(first[2]) > now and total + size <= most) then break end
  drop(first[1])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now + ARGV[3], ARGV[1])
redis.call('SET', KEYS[3], total + size)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[3]) end
"""


class SharedResults:
    """As ``ResultStore``; the oldest go first. Nobody who reads there learns what was asked, nor what was found.

    Args:
        seal: of every value, and of every name, which else would tell a guessed question.
        max_bytes: of all that is remembered there.
        seconds: that it is.
    """

    def __init__(self, server: RedisServer, seal: Seal, max_bytes: int, seconds: float) -> None:
        self._server = server
        self._seal = seal
        self._max_bytes = max_bytes
        self._milliseconds = int(seconds * _MILLISECONDS)
        self._keys = [server.name("results", kind) for kind in ("values", "order", "bytes")]

    async def get(self, name: str) -> bytes | Lookup:
        """As ``ResultStore.get``."""
        place = self._place(name)
        try:
            value: bytes | None = await self._server.run("results", _GET, self._keys[:2], [place])
        except RedisLostError:
            return "lost"
        if value is None:
            return "miss"
        data = self._seal.opened(place, value)
        return "invalid" if data is None else data

    async def put(self, name: str, value: bytes) -> None:
        """As ``ResultStore.put``."""
        place = self._place(name)
        sealed = self._seal.sealed(place, value)
        if len(sealed) + _OVERHEAD_BYTES > self._max_bytes:
            return
        arguments: list[Argument] = [place, sealed, self._milliseconds, self._max_bytes, _OVERHEAD_BYTES]
        try:
            await self._server.run("results", _PUT, self._keys, arguments)
        except RedisLostError:
            return  # the next one may be remembered

    def _place(self, name: str) -> str:
        return self._seal.mark("results", name.encode()).hex()
