"""Limits that several processes share: exact together, each on its own while Redis is lost."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from redis_process import PATIENCE_S, RedisProcess
from service.access.counts import Refusal, Slot
from service.access.key import KeyLimits
from service.access.local_counts import LocalCounts
from service.redis.server import RedisServer
from service.redis.shared_counts import SharedCounts
from service.redis_settings import RedisSettings
from service.telemetry.metrics import Metrics

pytestmark = pytest.mark.cluster

KEY = "0123456789abcdef"
LONG_MS = 600_000
PROBE_S = 0.01


class Process:
    """What one process has of the limits."""

    def __init__(self, redis: RedisProcess, lease_ms: int = LONG_MS, **settings: object) -> None:
        self.metrics = Metrics()
        self.server = RedisServer(RedisSettings(**redis.settings(**settings)), self.metrics.redis, PROBE_S)
        self.counts = SharedCounts(self.server, LocalCounts(), lease_ms)

    async def taken(self, times: int, limits: KeyLimits) -> list[Slot]:
        """Of so many tries at once."""
        outcomes = await asyncio.gather(*(self.counts.take(KEY, limits) for _ in range(times)))
        return [outcome for outcome in outcomes if isinstance(outcome, Slot)]

    def calls(self, outcome: str) -> float:
        labels = {"purpose": "limits", "outcome": outcome}
        return self.metrics.registry.get_sample_value("quarry_redis_calls_total", labels) or 0.0


@asynccontextmanager
async def running(*processes: Process) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for process in processes:
            await stack.enter_async_context(process.server)
            await stack.enter_async_context(process.counts)
        yield


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


async def until(condition: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not await condition():
        assert time.monotonic() < give_up, "it never came about"
        await asyncio.sleep(0.01)


def test_processes_let_in_together_as_many_as_the_limit_says(redis: RedisProcess, chance: random.Random) -> None:
    async def scenario() -> None:
        for _ in range(10):
            redis.client().flushall()
            one, other = Process(redis), Process(redis)
            limit, tries = chance.randrange(1, 40), chance.randrange(20, 60)
            limits = KeyLimits(requests_per_minute=limit)
            async with running(one, other):
                taken = await asyncio.gather(*(process.taken(tries, limits) for process in (one, other)))
                assert sum(map(len, taken)) == min(limit, 2 * tries), "one more or fewer is none"
                (here,), (there,) = [await each.counts.standings(KEY, limits) for each in (one, other)]
                assert here.remaining == there.remaining == limit - min(limit, 2 * tries)
                assert 0 < here.reset_s <= 60

    run(scenario())


def test_tokens_that_one_process_spent_are_spent_for_all(redis: RedisProcess) -> None:
    limits = KeyLimits(requests_per_minute=5, tokens_per_minute=10)

    async def scenario() -> None:
        one, other = Process(redis), Process(redis)
        async with running(one, other):
            await one.counts.spend(KEY, 10, 9)
            assert len(await other.taken(1, limits)) == 1, "one is left"
            await one.counts.spend(KEY, 10, 500)
            refused = await other.counts.take(KEY, limits)
            assert isinstance(refused, Refusal)
            assert refused.limit == "tokens"
            assert 0 < refused.after_s <= 60
            requests, tokens = await other.counts.standings(KEY, limits)
            assert (requests.remaining, tokens.remaining) == (4, 0), "what was refused is not counted"

    run(scenario())


def test_slots_are_shared_and_come_back(redis: RedisProcess) -> None:
    limits = KeyLimits(concurrency=3)

    async def scenario() -> None:
        one, other = Process(redis), Process(redis)
        async with running(one, other):
            held = [*await one.taken(2, limits), *await other.taken(9, limits)]
            assert len(held) == 3
            assert await one.taken(9, limits) == []
            for _ in range(50):
                held.pop(0).give_back()  # of this process
                again = await one.taken(1, limits)
                assert len(again) == 1, "whoever gave one back may have it again at once"
                held.insert(0, again[0])
            assert one.counts.running(KEY) + other.counts.running(KEY) == 3
            for slot in held:
                slot.give_back()
                slot.give_back()
            three: list[Slot] = []

            async def are_free() -> bool:
                three.extend(await other.taken(3 - len(three), limits))
                return len(three) == 3

            await until(are_free)
            assert await one.taken(1, limits) == [], "a slot comes back once"

    run(scenario())


def test_a_killed_process_gives_its_slots_back_and_a_living_one_keeps_them(redis: RedisProcess) -> None:
    limits, lease_ms = KeyLimits(concurrency=2), 1000

    async def scenario() -> None:
        living, third = Process(redis, lease_ms), Process(redis, lease_ms)
        async with running(living, third):
            assert len(await living.taken(1, limits)) == 1
            for _ in range(3):  # so that every lease of the living one is over unless it is renewed
                killed = Process(redis, lease_ms)
                async with running(killed):
                    assert len(await killed.taken(1, limits)) == 1
                # It ended without having given it back, as one does that is killed.
                assert await third.taken(1, limits) == []
                freed: list[Slot] = []

                async def is_free(freed: list[Slot] = freed) -> bool:
                    freed.extend(await third.taken(1, limits))
                    return bool(freed)

                await until(is_free)
                assert await third.taken(1, limits) == [], "there are two"
                leases = redis.client().zrange(living.server.name("limits", "leases", KEY), 0, -1)
                holders = {lease.decode().partition("-")[0] for lease in leases}
                assert holders == {each.counts._process for each in (living, third)}, "the living one has its own still"
                freed[0].give_back()

    run(scenario())


def test_who_leaves_in_the_middle_holds_nothing(redis: RedisProcess) -> None:
    limits = KeyLimits(concurrency=1)

    async def scenario() -> None:
        one, other = Process(redis), Process(redis)
        async with running(one, other):
            for turns in range(12):
                task = asyncio.create_task(one.counts.take(KEY, limits))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                await asyncio.wait({task})
                if not task.cancelled():
                    slot = task.result()
                    assert isinstance(slot, Slot)
                    slot.give_back()
            assert one.counts.running(KEY) == 0

            async def is_free() -> bool:
                return bool(await other.taken(1, limits))

            await until(is_free)

    run(scenario())


@pytest.mark.parametrize("loss", ["frozen", "killed"])
def test_while_redis_is_lost_each_process_counts_for_itself_and_nobody_waits_twice(
    redis: RedisProcess, loss: str
) -> None:
    limits, width = KeyLimits(requests_per_minute=30), 10

    async def scenario() -> None:
        one, other = (Process(redis, timeout_ms=500) for _ in range(2))
        async with running(one, other):
            let_in = [len(await one.taken(width, limits)), 0]
            assert let_in == [width, 0]
            redis.freeze() if loss == "frozen" else redis.kill()
            for _ in range(10):
                for place, process in enumerate((one, other)):
                    let_in[place] += len(await process.taken(width, limits))
            assert let_in == [30, 30], "the limit, each for itself"
            (here,), (there,) = [await each.counts.standings(KEY, limits) for each in (one, other)]
            assert here.remaining == there.remaining == 0, "what was let in before counts"
            for process in (one, other):
                assert process.server.cause
                assert process.calls("failed") <= width, "those alone that were under way when it was lost"
                assert process.calls("skipped") > process.calls("failed")
            redis.thaw() if loss == "frozen" else redis.start()

            async def is_back() -> bool:
                return one.server.cause is None

            await until(is_back)
            before = one.calls("ok")
            await one.counts.standings(KEY, limits)
            assert one.calls("ok") == before + 1

    run(scenario())


def test_what_was_let_in_without_redis_counts_when_it_is_back(redis: RedisProcess) -> None:
    limits = KeyLimits(concurrency=2)

    async def scenario() -> None:
        one, other = Process(redis), Process(redis)
        redis.kill()
        async with running(one, other):
            held = await one.taken(5, limits)
            assert len(held) == 2
            redis.start()

            async def are_back() -> bool:
                return one.server.cause is None and other.server.cause is None

            await until(are_back)
            await one.counts._renew()
            assert await other.taken(1, limits) == []
            held[0].give_back()

            async def is_free() -> bool:
                return bool(await other.taken(1, limits))

            await until(is_free)

    run(scenario())


def test_what_others_put_in_the_place_of_counts_never_lets_everybody_in_or_nobody(redis: RedisProcess) -> None:
    limits = KeyLimits(requests_per_minute=3)

    async def scenario() -> None:
        one = Process(redis)
        name = one.server.name("limits", "requests", KEY)
        async with running(one):
            redis.client().set(name, 10**9)  # without an end
            assert await one.taken(2, limits) == []
            assert 0 < redis.client().pttl(name) <= 60_000, "it has one now"
            redis.client().delete(name)
            redis.client().lpush(name, "no number")
            taken = 0
            for _ in range(10):
                taken += len(await one.taken(1, limits))
            assert taken == 3, "this process's own count"

    run(scenario())
