"""How much a key may ask for: windows, slots, and what counts."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from service.access.caller import Caller
from service.access.key import Key, KeyLimits
from service.access.keys import Keys, NewKey
from service.access.limits import Limits
from service.access.local_counts import LocalCounts
from service.access.rights import ALL
from service.errors import RateLimitedError
from service.telemetry.metrics import Metrics

ADMIN = "a" * 32
LONG_S = 10_000_000.0


class Clock:
    """Unix time that passes when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = time.time()
        monkeypatch.setattr("limits.aio.storage.memory.time", self)

    def time(self) -> float:
        return self.now


class Counted:
    """A key with limits, and what counts for it."""

    def __init__(self, folder: Path, limits: KeyLimits, defaults: KeyLimits | None = None) -> None:
        self.keys, self.metrics = Keys(folder, ADMIN), Metrics()
        self.key, _ = self.keys.create(NewKey("one", ALL, limits))
        self.other, _ = self.keys.create(NewKey("other", ALL, limits))
        self.limits = Limits(self.keys, defaults or KeyLimits(), self.metrics.access, LocalCounts())

    async def taken(self, times: int, key: Key | None = None) -> int:
        """Of so many tries one after the other."""
        taken = 0
        for _ in range(times):
            try:
                slot = await self.limits.take(key or self.key)
            except RateLimitedError:
                continue
            slot.give_back()
            taken += 1
        return taken

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


def test_a_window_holds_as_many_requests_as_it_says_and_the_next_one_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    it = Counted(tmp_path, KeyLimits(requests_per_minute=3))
    it.limits = Limits(it.keys, KeyLimits(), it.metrics.access, LocalCounts(clock.time))

    async def scenario() -> None:
        assert await it.taken(5) == 3
        clock.now += 20
        with pytest.raises(RateLimitedError, match=rf"key {it.key.id} has used up its 3 requests a minute") as refused:
            await it.limits.take(it.key)
        assert refused.value.retry_after_s == pytest.approx(40, abs=0.01)
        (standing,) = await it.limits.standings(it.key)
        assert (standing.unit, standing.limit, standing.remaining) == ("requests", 3, 0)
        clock.now += refused.value.retry_after_s + 0.001
        assert await it.taken(5) == 3
        assert it.value("quarry_rate_limited_total", key=it.key.id, limit="requests") == 5
        assert it.value("quarry_key_requests_total", key=it.key.id) == 11

    run(scenario())


def test_a_key_never_uses_up_what_another_one_has(tmp_path: Path) -> None:
    it = Counted(tmp_path, KeyLimits(requests_per_minute=3, tokens_per_minute=10, concurrency=1))

    async def scenario() -> None:
        await it.limits.spent(Caller.of(it.key).name, 100)
        assert await it.taken(5) == 0
        slot = await it.limits.take(it.other)
        assert await it.taken(1, it.other) == 0, "the only slot is taken"
        slot.give_back()
        assert await it.taken(5, it.other) == 2, "what was refused for its concurrency was not counted"

    run(scenario())


def test_tokens_are_paid_for_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    it = Counted(tmp_path, KeyLimits(tokens_per_minute=10))
    it.limits = Limits(it.keys, KeyLimits(), it.metrics.access, LocalCounts(clock.time))
    name = Caller.of(it.key).name

    async def scenario() -> None:
        await it.limits.spent(name, 9)
        assert await it.taken(2) == 2, "one is left"
        await it.limits.spent(name, 500)
        with pytest.raises(RateLimitedError, match="10 tokens a minute") as refused:
            await it.limits.take(it.key)
        assert 0 < refused.value.retry_after_s <= 60
        (standing,) = await it.limits.standings(it.key)
        assert (standing.remaining, standing.limit) == (0, 10)
        clock.now += 60.001
        assert await it.taken(1) == 1, "what was too much in one window is no debt in the next"
        assert it.value("quarry_key_tokens_total", key=it.key.id) == 509

    run(scenario())


def test_slots_are_as_many_as_the_limit_and_come_back(tmp_path: Path) -> None:
    it = Counted(tmp_path, KeyLimits(concurrency=2))

    async def scenario() -> None:
        slots = [await it.limits.take(it.key) for _ in range(2)]
        for _ in range(3):
            with pytest.raises(RateLimitedError, match="2 requests at a time"):
                await it.limits.take(it.key)
        assert it.limits.running(it.key) == 2, "who was refused holds nothing"
        for _ in range(3):
            slots[0].give_back()
        assert it.limits.running(it.key) == 1, "a slot comes back once"
        slots.append(await it.limits.take(it.key))
        for slot in slots:
            slot.give_back()
        assert it.limits.running(it.key) == 0

    run(scenario())


def test_defaults_hold_for_what_a_key_leaves_open_and_never_for_the_operators_own(tmp_path: Path) -> None:
    defaults = KeyLimits(requests_per_minute=2, tokens_per_minute=7)
    it = Counted(tmp_path, KeyLimits(requests_per_minute=4), defaults)
    admin = it.keys.shown(ADMIN)

    async def scenario() -> None:
        assert {one.unit: one.limit for one in await it.limits.standings(it.key)} == {"requests": 4, "tokens": 7}
        assert await it.limits.standings(admin) == []
        await it.limits.spent(Caller.of(admin).name, 1000)
        assert await it.taken(9, admin) == 9
        assert it.value("quarry_key_tokens_total", key=admin.id) == 1000

    run(scenario())


@pytest.mark.parametrize("caller", ["", "127.0.0.1", "key:", "key:0123456789abcdef", "key:of nobody's"])
def test_who_has_no_key_is_not_counted(tmp_path: Path, caller: str) -> None:
    it = Counted(tmp_path, KeyLimits(tokens_per_minute=1))
    run(it.limits.spent(caller, 100))
    names = {family.name for family in it.metrics.registry.collect() for _ in family.samples}
    assert "quarry_key_tokens" not in names


def test_nothing_is_left_running(tmp_path: Path) -> None:
    it = Counted(tmp_path, KeyLimits(requests_per_minute=100, tokens_per_minute=100))
    before = threading.active_count()

    async def scenario() -> None:
        async with it.limits:
            await it.taken(3)
            await it.limits.spent(Caller.of(it.key).name, 5)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())
    assert threading.active_count() == before
