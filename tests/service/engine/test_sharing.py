"""How callers, lanes and models share one device."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import numpy as np
import pytest

from models.base import Finished, TextKind, TokenIds, Vectors
from models.hashing import HashingEmbedder
from service.batching import Embedded
from service.scheduling.job import Lane

PATIENCE_S = 200.0

T = TypeVar("T")
Scripted = Callable[..., Any]
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def test_two_models_never_share_a_batch(scripted: Scripted, open_engine: OpenEngine) -> None:
    inner = HashingEmbedder(dimension=64), HashingEmbedder(dimension=32)
    devices = scripted(inner[0], name="wide", is_open=False), scripted(inner[1], name="narrow")
    texts = [f"text{n} for model{n % 2}" for n in range(60)]

    async def scenario() -> list[Embedded]:
        async with open_engine(*devices, budget=10) as opened:
            first = opened.asked("model0", of=0)
            await devices[0].entered()
            tasks = [
                opened.asked(text, of=n % 2, lane=Lane.QUERY if n % 3 else Lane.BULK, key=str(n % 4))
                for n, text in enumerate(texts)
            ]
            await opened.waiting(180)
            devices[0].gate.set()
            results = await asyncio.gather(*tasks)
            await first
            assert opened.value("quarry_tokens_total", model="wide") == 91
            assert opened.value("quarry_tokens_total", model="narrow") == 90
            return results

    for n, (text, embedded) in enumerate(zip(texts, run(scenario()), strict=True)):
        of = inner[n % 2]
        np.testing.assert_array_equal(embedded.vectors, of.embed(of.tokenize([text], TextKind.DOCUMENT)))
    wide, narrow = devices
    assert not wide.saw("model1")
    assert not narrow.saw("model0")
    assert max(map(len, wide.batches)) > 1


@pytest.mark.parametrize(("ageing_s", "place"), [(1e-9, 1), (1e6, 31)])
def test_bulk_work_ages_past_queries(ageing_s: float, place: int, scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, budget=1, ageing_s=ageing_s) as opened:
            tasks = [opened.asked("first", lane=Lane.QUERY)]
            await device.entered()
            tasks.append(opened.asked("bulk"))
            tasks += [opened.asked(f"query{n}", lane=Lane.QUERY) for n in range(30)]
            await opened.waiting(31)
            device.gate.set()
            await asyncio.gather(*tasks)
            aged = opened.value("quarry_batches_total", model="hashing", lane="bulk", reason="aged")
            assert aged == (1 if place == 1 else 0)

    run(scenario())
    (bulk,) = HashingEmbedder().tokenize(["bulk"], TextKind.DOCUMENT)
    assert device.batches.index([bulk]) == place


def test_bulk_work_ends_though_queries_never_do(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, budget=1, ageing_s=1e-9) as opened:
            queries = [opened.asked(f"query{n}", lane=Lane.QUERY) for n in range(3)]
            await device.entered()
            bulk = opened.asked("one", "two", "three", "four")

            def ask_again(task: "asyncio.Task[Embedded]") -> None:
                queries.remove(task)
                if not bulk.done():
                    another = opened.asked("again", lane=Lane.QUERY)
                    another.add_done_callback(ask_again)
                    queries.append(another)

            for query in queries:
                query.add_done_callback(ask_again)
            device.gate.set()
            assert (await bulk).tokens == 4
            while queries:  # from Python 3.12 on `gather` gives the loop no turn where all are done
                done, _ = await asyncio.wait(queries)
                assert all(query.result().tokens == 1 for query in done)

    run(scenario())


def test_a_caller_of_few_texts_need_not_wait_for_one_of_many(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)
    finished: list[str] = []

    async def scenario() -> None:
        async with open_engine(device, budget=512) as opened:
            tasks = [opened.asked("first")]
            await device.entered()
            greedy = [" ".join(f"g{n}x{i}" for i in range(200)) for n in range(20)]
            tasks += [opened.asked(*greedy, key="greedy"), opened.asked("modest words", key="modest")]
            for task, name in zip(tasks, ("first", "greedy", "modest"), strict=True):
                task.add_done_callback(lambda _, name=name: finished.append(name))
            await opened.waiting(4002)
            device.gate.set()
            await asyncio.gather(*tasks)

    run(scenario())
    assert finished == ["first", "modest", "greedy"]
    position = next(i for i, batch in enumerate(device.batches) if any(len(ids) == 2 for ids in batch))
    assert position <= 2


class Asynchronous(HashingEmbedder):
    """Launches return at once, as on a GPU; results wait at a gate each."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []
        self.launching, self.landing = threading.Semaphore(0), threading.Semaphore(0)
        self.waited_for = threading.Semaphore(0)
        self.launched = 0

    def launch(self, batch: Sequence[TokenIds]) -> Any:  # noqa: ANN401  a Launched
        assert self.launching.acquire(timeout=PATIENCE_S)
        self.launched += 1
        self.events.append(f"launch {self.launched}")
        return _Pending(self, self.launched, super().launch(batch))


class _Pending:
    def __init__(self, device: Asynchronous, number: int, inner: Finished) -> None:
        self._device, self._number, self._inner = device, number, inner
        self.computed_tokens = inner.computed_tokens
        self.is_done = False

    def tell(self, call: Callable[[], None]) -> bool:
        return False

    def result(self) -> Vectors:
        self._device.waited_for.release()
        assert self._device.landing.acquire(timeout=PATIENCE_S)
        self._device.events.append(f"land {self._number}")
        return self._inner.rows


@pytest.mark.parametrize(
    ("depth", "lane", "told"),
    [
        (1, Lane.QUERY, ["launch 1", "land 1", "launch 2", "land 2", "launch 3", "land 3"]),
        (2, Lane.QUERY, ["launch 1", "launch 2", "land 1", "launch 3", "land 2", "land 3"]),
        (2, Lane.BULK, ["launch 1", "land 1", "launch 2", "land 2", "launch 3", "land 3"]),
    ],
)
def test_batches_in_flight(depth: int, lane: Lane, told: list[str], open_engine: OpenEngine) -> None:
    device = Asynchronous()
    texts = ["alpha", "beta", "gamma"]

    async def scenario() -> Embedded:
        async with open_engine(device, budget=1, depth=depth) as opened:
            task = opened.asked(*texts, lane=lane)  # one call, so that all of it waits at once
            for semaphore in (device.launching, device.landing):
                semaphore.release(len(texts))
            return await task

    rows = run(scenario()).vectors
    np.testing.assert_array_equal(rows, device.embed(device.tokenize(texts, TextKind.DOCUMENT)))
    assert device.events == told


def test_a_query_is_launched_while_bulk_is_in_flight(open_engine: OpenEngine) -> None:
    device = Asynchronous()

    async def scenario() -> None:
        async with open_engine(device, budget=1, depth=2) as opened:
            bulk = opened.asked("alpha", "beta")
            await opened.waiting(1)  # the launch of the first one is under way
            query = opened.asked("gamma", lane=Lane.QUERY)
            await opened.waiting(2)
            device.launching.release(3)
            device.landing.release(3)
            await asyncio.gather(bulk, query)

    run(scenario())
    assert device.events == ["launch 1", "launch 2", "land 1", "launch 3", "land 2", "land 3"]


def test_two_failures_in_flight(open_engine: OpenEngine) -> None:
    class Failing(Asynchronous):
        def launch(self, batch: Sequence[TokenIds]) -> Any:  # noqa: ANN401
            pending = super().launch(batch)
            pending.result = self.fail
            return pending

        def fail(self) -> Vectors:
            raise RuntimeError("no result")

    device = Failing()

    async def scenario() -> list[Embedded | BaseException]:
        async with open_engine(device, budget=1, depth=2) as opened:
            tasks = [opened.asked(text, lane=Lane.QUERY) for text in ("alpha", "beta", "gamma")]
            device.launching.release(3)
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert opened.value("quarry_batch_failures_total") == 3
            assert opened.engine.trouble is None
            return results

    assert [str(result) for result in run(scenario())] == ["the forward failed: RuntimeError: no result"] * 3


def test_a_flood_of_one_key_does_not_starve_another(scripted: Scripted, open_engine: OpenEngine) -> None:
    device, ended, long = scripted(is_open=False), list[str](), "word " * 63

    async def scenario() -> None:
        async with open_engine(device, budget=64) as opened:
            tasks = [opened.asked("first", lane=Lane.QUERY)]
            await device.entered()

            def ask(key: str, lane: Lane, times: int) -> None:
                for number in range(times):
                    tasks.append(opened.asked(f"{long}{number}", lane=lane, key=f"key:{key}"))
                    tasks[-1].add_done_callback(lambda _: ended.append(f"{lane} of {key}"))

            for lane in Lane:
                ask("flood", lane, 200)
                ask("mine", lane, 10)
            await opened.waiting(420 * 64)
            device.gate.set()
            await asyncio.gather(*tasks)

    run(scenario())
    for lane in Lane:
        in_lane = [who for who in ended if who.startswith(lane)]
        before = in_lane[: len(in_lane) - in_lane[::-1].index(f"{lane} of mine")]
        assert before.count(f"{lane} of flood") <= 3 * 10, "a turn each, however many wait"


@pytest.mark.parametrize("hangs_up", [False, True])
def test_what_was_computed_is_told_with_its_caller(
    *, hangs_up: bool, scripted: Scripted, open_engine: OpenEngine
) -> None:
    device, told = scripted(is_open=False), list[tuple[str, int]]()

    async def spent(caller: str, tokens: int) -> None:
        told.append((caller, tokens))

    async def scenario() -> None:
        async with open_engine(device, budget=4, spent=spent) as opened:
            asked = opened.asked("one two three " * 200, "four five", lane=Lane.QUERY, key="key:a")
            await device.entered()
            if hangs_up:
                asked.cancel()
                await asyncio.wait([asked], timeout=PATIENCE_S)  # the next batch is made after it is known to be gone
            device.gate.set()
            await asyncio.gather(asked, return_exceptions=True)

    run(scenario())
    tokens = len(device.batches[0][0])
    assert tokens > 100
    assert told == [("key:a", tokens if hangs_up else tokens + 2)], "of who left, what was launched"
