"""Results in Redis: what is not exactly what was put there is none, and there is a bound to all of it."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from redis_process import SHARED, RedisProcess
from service.redis.seal import Seal
from service.redis.server import RedisServer
from service.redis.shared_results import SharedResults
from service.redis_settings import RedisSettings
from service.telemetry.metrics import Metrics

pytestmark = pytest.mark.cluster

LONG_S = 600.0
VALUES = "quarry:results:values"


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def server_of(redis: RedisProcess) -> RedisServer:
    return RedisServer(RedisSettings(**redis.settings()), Metrics().redis)


def test_what_one_process_found_another_one_is_given(redis: RedisProcess) -> None:
    async def scenario() -> None:
        async with server_of(redis) as one, server_of(redis) as other:
            here, there = (SharedResults(each, Seal(SHARED), 10_000, LONG_S) for each in (one, other))
            assert await there.get("a") == "miss"
            await here.put("a", b"first")
            await here.put("a", b"second")
            assert await there.get("a") == b"second"
            assert await there.get("b") == "miss"
            told = b"".join(name + value for name, value in redis.client().hgetall(VALUES).items())
            assert b"first" not in told
            assert int(redis.client().get("quarry:results:bytes")) == len(told) - 64 + 256

    run(scenario())


def test_no_value_of_anybody_elses_is_a_result(redis: RedisProcess) -> None:
    async def scenario() -> None:
        async with server_of(redis) as server:
            results = SharedResults(server, Seal(SHARED), 100_000, LONG_S)
            stranger = SharedResults(server, Seal("another secret of more than 32 characters"), 100_000, LONG_S)
            for name in ("a", "b"):
                await results.put(name, f"of {name}".encode())
            client = redis.client()
            places = {name: results._place(name) for name in ("a", "b")}
            good = client.hget(VALUES, places["a"])
            for bad in (b"", b"x", good[:-1], good + b"x", good[1:], client.hget(VALUES, places["b"]), b"\0" * 500):
                client.hset(VALUES, places["a"], bad)
                assert await results.get("a") == "invalid", bad
            client.hset(VALUES, places["a"], good)
            assert await results.get("a") == b"of a"
            assert await stranger.get("a") == "miss"
            client.delete(VALUES)
            client.set(VALUES, "no hash")
            assert await results.get("a") == "lost"

    run(scenario())


def test_all_of_it_is_bounded_whatever_comes(redis: RedisProcess, chance: random.Random) -> None:
    most = 50_000

    async def scenario() -> None:
        async with server_of(redis) as server:
            results = SharedResults(server, Seal(SHARED), most, LONG_S)
            client = redis.client()
            for number in range(400):
                size = chance.choice([0, 10, 1000, 8000, 60_000])
                await results.put(str(chance.randrange(100)), chance.randbytes(size))
                held = client.hgetall(VALUES)
                assert sum(len(value) + 256 for value in held.values()) <= most
                if number % 50 == 0:
                    counted = int(client.get("quarry:results:bytes") or 0)
                    assert counted == sum(len(value) + 256 for value in held.values())
                    assert set(held) == set(client.zrange("quarry:results:order", 0, -1))
            assert len(client.hgetall(VALUES)) > 3, "it is used"
            await results.put("last", b"last")
            assert await results.get("last") == b"last"

    run(scenario())


def test_what_has_had_its_time_is_gone(redis: RedisProcess) -> None:
    async def scenario() -> None:
        async with server_of(redis) as server:
            results = SharedResults(server, Seal(SHARED), 100_000, LONG_S)
            await results.put("a", b"a")
            client = redis.client()
            assert 0 < client.pttl(VALUES) <= LONG_S * 1000
            client.zadd("quarry:results:order", {results._place("a"): 1})  # long ago
            assert await results.get("a") == "miss"
            await results.put("b", b"b")
            assert client.hlen(VALUES) == 1, "its bytes are free"

    run(scenario())


def test_without_redis_there_is_nothing_to_wait_for(redis: RedisProcess) -> None:
    async def scenario() -> None:
        async with server_of(redis) as server:
            results = SharedResults(server, Seal(SHARED), 100_000, LONG_S)
            redis.kill()
            await results.put("a", b"a")
            assert await results.get("a") == "lost"
            assert server.cause

    run(scenario())
