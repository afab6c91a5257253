"""SharedCounts: what keys ask of several processes together, counted in Redis by its clock."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Self, cast

from service.access.counts import WINDOW_S, Limit, Refusal, Slot, Standing, windows_of
from service.access.key import KeyLimits
from service.access.local_counts import LocalCounts
from service.redis.lost import RedisLostError
from service.redis.server import Argument, RedisServer

_MILLISECONDS = 1000
_WINDOW_MS = WINDOW_S * _MILLISECONDS
_UNLIMITED = -1
# Of leases in one call: a script holds everybody up.
_AT_ONCE = 500

# (count, milliseconds that are left) of a window. One without an end would never let anybody in again.
_WINDOW = """
local function window(key, milliseconds)
  local spent = tonumber(redis.call('GET', key) or 0) or 0
  local left = redis.call('PTTL', key)
  if left == -1 then
    redis.call('PEXPIRE', key, milliseconds)
    left = tonumber(milliseconds)
  end
  return spent, math.max(left, 0)
end
local function count(key, cost, milliseconds)
  redis.call('INCRBY', key, cost)
  window(key, milliseconds)
end
"""
_NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
# Keys: requests, tokens, leases. Arguments: most of each, the new lease, its milliseconds and those of a window, then
# leases that have ended.
_TAKE = f"""{_WINDOW}{_NOW}
for place = 7, #ARGV do redis.call('ZREM', KEYS[3], ARGV[place]) end
local requests, tokens, leases = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
if leases >= 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  if redis.call('ZCARD', KEYS[3]) >= leases then return {{'concurrency', 1000}} end
end
if tokens >= 0 then
  local spent, left = window(KEYS[2], ARGV[6])
  if spent >= tokens then return {{'tokens', left}} end
end
if requests >= 0 then
  local spent, left = window(KEYS[1], ARGV[6])
  if spent >= requests then return {{'requests', left}} end
  count(KEYS[1], 1, ARGV[6])
end
if leases >= 0 then
  redis.call('ZADD', KEYS[3], now + ARGV[5], ARGV[4])
  redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
return {{'', 0}}
"""
_SPEND = f"{_WINDOW} count(KEYS[1], ARGV[1], ARGV[2])"
_STANDINGS = f"""{_WINDOW}
local found = {{}}
for place, key in ipairs(KEYS) do
  local spent, left = window(key, ARGV[1])
  found[2 * place - 1], found[2 * place] = spent, left
end
return found
"""
# Keys: of the leases, one for each. Arguments: milliseconds, then the leases.
_RENEW = f"""{_NOW}
for place, key in ipairs(KEYS) do
  redis.call('ZADD', key, now + ARGV[1], ARGV[place + 1])
  redis.call('PEXPIRE', key, ARGV[1])
end
"""
_END = "for place, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[place]) end"


@dataclass(slots=True)
class _Lease:
    """A slot as Redis may know it.

    Attributes:
        is_told: Redis was asked to hold it; whether it did, is not sure where it was lost then.
    """

    id: str
    key_id: str
    is_told: bool = False


class SharedCounts:
    """As ``Counts``, for all processes of one Redis; by this process's own counts while that is lost.

    A slot is a lease there, which its process renews: one that is killed gives its slots back by not doing so.

    Args:
        own: follow along, so that a key which used its limits up here has used them up should Redis be lost.
        lease_ms: of a lease that is not renewed.
    """

    def __init__(self, server: RedisServer, own: LocalCounts, lease_ms: int) -> None:
        self._server = server
        self._own = own
        self._lease_ms = lease_ms
        self._process = secrets.token_hex(8)
        self._numbers = count()
        self._leases: dict[str, _Lease] = {}
        self._ended: dict[str, _Lease] = {}
        self._has_ended = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loops = {"redis-renew": self._renew_for_ever(), "redis-end": self._end_for_ever()}
        self._tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._tell_ended()
        await self._own.__aexit__()

    async def take(self, key_id: str, limits: KeyLimits) -> Slot | Refusal:
        """As ``Counts.take``."""
        if limits.concurrency is None and not windows_of(limits):
            return self._own.hold(key_id)
        lease = _Lease(f"{self._process}-{next(self._numbers)}", key_id)
        try:
            outcome = await self._taken(lease, limits)
        except BaseException:  # whoever asked is gone, and Redis may have let it in
            self._end(lease)
            raise
        if isinstance(outcome, Refusal):
            self._end(lease)
            return outcome
        if limits.concurrency is not None:
            self._leases[lease.id] = lease
        return Slot(partial(self._give_back, outcome, lease))

    async def spend(self, key_id: str, limit: int, tokens: int) -> None:
        """As ``Counts.spend``."""
        await self._own.spend(key_id, limit, tokens)
        try:
            await self._server.run("limits", _SPEND, [self._name("tokens", key_id)], [tokens, _WINDOW_MS])
        except RedisLostError:
            return  # counted here alone

    async def standings(self, key_id: str, limits: KeyLimits) -> list[Standing]:
        """As ``Counts.standings``."""
        windows = windows_of(limits)
        if not windows:
            return []
        try:
            names = [self._name(unit, key_id) for unit, _ in windows]
            found: list[int] = await self._server.run("limits", _STANDINGS, names, [_WINDOW_MS])
        except RedisLostError:
            return await self._own.standings(key_id, limits)
        pairs = zip(windows, found[::2], found[1::2], strict=True)
        return [
            Standing(unit, limit, max(0, limit - spent), left_ms / _MILLISECONDS)
            for (unit, limit), spent, left_ms in pairs
        ]

    def running(self, key_id: str) -> int:
        """As ``Counts.running``."""
        return self._own.running(key_id)

    async def _taken(self, lease: _Lease, limits: KeyLimits) -> Slot | Refusal:
        key_id = lease.key_id
        ended = [each.id for each in self._ended.values() if each.key_id == key_id][:_AT_ONCE]
        lease.is_told = limits.concurrency is not None and self._server.cause is None
        names = [self._name(kind, key_id) for kind in ("requests", "tokens", "leases")]
        most = (limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency)
        bounds = [_UNLIMITED if limit is None else limit for limit in most]
        arguments: list[Argument] = [*bounds, lease.id, self._lease_ms, _WINDOW_MS, *ended]
        try:
            refused, after_ms = await self._server.run("limits", _TAKE, names, arguments)
        except RedisLostError:
            return await self._own.take(key_id, limits)
        for lease_id in ended:
            self._ended.pop(lease_id, None)
        if refused:
            lease.is_told = False
            return Refusal(cast(Limit, refused.decode()), after_ms / _MILLISECONDS)
        slot = self._own.hold(key_id)
        try:
            await self._own.note(key_id, limits)
        except BaseException:
            slot.give_back()
            raise
        return slot

    def _give_back(self, slot: Slot, lease: _Lease) -> None:
        slot.give_back()
        self._end(lease)

    def _end(self, lease: _Lease) -> None:
        """What Redis was never told of, it need not be told the end of."""
        self._leases.pop(lease.id, None)
        if lease.is_told:
            self._ended[lease.id] = lease
            self._has_ended.set()

    async def _end_for_ever(self) -> None:
        while True:
            await self._has_ended.wait()
            self._has_ended.clear()
            await self._tell_ended()

    async def _renew_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._lease_ms / _MILLISECONDS / 3)
            await self._tell_ended()  # those that Redis was lost for
            await self._renew()

    async def _tell_ended(self) -> None:
        """Let Redis know; what it is lost for is told later, or ends by itself."""
        while ended := list(self._ended.values())[:_AT_ONCE]:
            try:
                await self._server.run("limits", _END, self._names(ended), [lease.id for lease in ended])
            except RedisLostError:
                return
            for lease in ended:
                self._ended.pop(lease.id, None)

    async def _renew(self) -> None:
        """Hold every lease, those too that were taken while Redis was lost."""
        held = list(self._leases.values())
        for start in range(0, len(held), _AT_ONCE):
            leases = held[start : start + _AT_ONCE]
            if self._server.cause is None:
                for lease in leases:
                    lease.is_told = True
            arguments: list[Argument] = [self._lease_ms, *(lease.id for lease in leases)]
            try:
                await self._server.run("limits", _RENEW, self._names(leases), arguments)
            except RedisLostError:
                return
            finally:
                self._end_again(leases)

    def _end_again(self, leases: Sequence[_Lease]) -> None:
        """Those that ended while they were renewed, in whichever order Redis heard of it."""
        for lease in leases:
            if lease.is_told and lease.id not in self._leases:
                self._ended[lease.id] = lease
                self._has_ended.set()

    def _name(self, kind: str, key_id: str) -> str:
        return self._server.name("limits", kind, key_id)

    def _names(self, leases: Sequence[_Lease]) -> list[str]:
        return [self._name("leases", lease.key_id) for lease in leases]
