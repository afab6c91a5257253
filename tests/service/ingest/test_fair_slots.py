"""Who has a place, and who is next."""

import asyncio
import random
from collections import Counter
from contextlib import suppress

from service.ingest.fair_slots import FairSlots
from service.ingest.places import Claim

ROUNDS = 20


class Crowd:
    """Who came, and who is inside, by name."""

    def __init__(self, total: int, kept: int = 1) -> None:
        self.slots = FairSlots(total, kept)
        self.inside: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._done: dict[str, asyncio.Event] = {}

    async def come(self, name: str, caller: str = "", *, is_large: bool = False, line: str = "") -> None:
        self._done[name] = asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._stay(name, Claim(caller, is_large), line))
        await settled()

    def end(self, name: str) -> None:
        self._done[name].set()

    async def leave(self, name: str) -> None:
        self.end(name)
        await settled()

    async def _stay(self, name: str, claim: Claim, line: str) -> None:
        async with self.slots.taken(claim, line):
            self.inside.append(name)
            try:
                await self._done[name].wait()
            finally:
                self.inside.remove(name)


async def settled() -> None:
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


def test_large_ones_leave_places_for_small_ones_and_for_other_callers() -> None:
    async def scenario() -> None:
        crowd = Crowd(8)
        for number in range(10):
            await crowd.come(f"x{number}", "x", is_large=True)
        assert len(crowd.inside) == 6
        await crowd.come("small", "x")
        await crowd.come("y", "y", is_large=True)
        assert crowd.inside[6:] == ["small", "y"]
        await crowd.come("z", "z")
        await crowd.leave("x0")
        assert crowd.inside[-1] == "z", "who has least is next"

    asyncio.run(scenario())


def test_lines_of_one_caller_take_turns() -> None:
    async def scenario() -> None:
        crowd = Crowd(2)
        for number in range(5):
            await crowd.come(f"job{number}", "x", line="job")
        await crowd.come("request", "x", line="request")
        assert crowd.inside == ["job0"]
        await crowd.leave("job0")
        assert crowd.inside == ["job1"], "it came before"
        await crowd.leave("job1")
        assert crowd.inside == ["request"], "three jobs came before"

    asyncio.run(scenario())


def test_without_kept_places_all_are_had_and_the_few_go_first() -> None:
    async def scenario() -> None:
        crowd = Crowd(2, kept=0)
        for number in range(4):
            await crowd.come(f"large{number}", "large", is_large=True)
        await crowd.come("small", "small")
        assert crowd.inside == ["large0", "large1"]
        await crowd.leave("large0")
        assert crowd.inside == ["large1", "small"]

    asyncio.run(scenario())


def test_no_place_is_lost_to_those_who_are_cancelled() -> None:
    seed = random.randrange(1000)  # noqa: S311
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    chance = random.Random(seed)  # noqa: S311

    async def scenario() -> None:
        crowd = Crowd(4)
        for number in range(200):
            name = f"n{number}"
            await crowd.come(name, chance.choice("xyz"), is_large=chance.random() < 0.5)
            other = chance.choice(list(crowd.tasks))
            if chance.random() < 0.5:  # both at once: it may be called and cancelled in the same moment
                leaving = crowd.tasks.pop(other)
                if crowd.inside:
                    crowd.end(chance.choice(crowd.inside))
                    await asyncio.sleep(0)
                leaving.cancel()
                await settled()
            counts = Counter(crowd.inside)
            assert counts.total() <= 4
        for task in crowd.tasks.values():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for number in range(3):
            await crowd.come(f"last{number}", "x")
        assert crowd.inside == ["last0", "last1", "last2"]

    asyncio.run(scenario())
