"""The batcher on its engine: what goes into a forward, in which order, and what happens when something fails."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import numpy as np
import pytest

from models.base import Embedder, TextKind
from models.hashing import HashingEmbedder
from service.batching import Embedded
from service.budget import Deadline
from service.bulk_hold import Cause
from service.errors import EmbedderUnavailableError, OverloadedError
from service.scheduling.job import Lane

PATIENCE_S = 200.0
WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")

T = TypeVar("T")
Scripted = Callable[..., Any]
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def texts_of(lengths: Sequence[int]) -> list[str]:
    return [" ".join(f"w{number}x{position}" for position in range(length)) for number, length in enumerate(lengths)]


def computed(scripted: Any) -> set[str]:  # noqa: ANN401
    """Words of the vocabulary above that went through a forward."""
    return {word for word in WORDS if scripted.saw(word)}


def test_batched_and_alone_are_the_same_to_the_real_model(
    embedder: Embedder, scripted: Scripted, open_engine: OpenEngine
) -> None:
    texts = [f"{WORDS[n % 6]} number {n}, " + "and so on " * (n % 13) for n in range(40)]
    recording = scripted(embedder, is_open=False)

    async def scenario() -> list[Embedded]:
        async with open_engine(recording, budget=1024) as opened:
            tasks = [opened.asked(text, lane=Lane.QUERY) for text in texts]
            while len(recording.tokenized) < len(texts):  # noqa: ASYNC110  nobody announces it
                await asyncio.sleep(0)
            recording.gate.set()
            return await asyncio.gather(*tasks)

    together = np.concatenate([embedded.vectors for embedded in run(scenario())])
    alone = np.concatenate([embedder.embed(embedder.tokenize([text], TextKind.DOCUMENT)) for text in texts])
    assert len(recording.batches) < len(texts) / 2
    assert np.sum(together * alone, axis=1).min() > 0.999
    assert np.argmax(together @ alone.T, axis=1).tolist() == list(range(len(texts)))


@pytest.mark.parametrize("seed", range(5))
def test_the_budget_holds(seed: int, scripted: Scripted, open_engine: OpenEngine) -> None:
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    rng = random.Random(seed)  # noqa: S311
    calls = [texts_of([rng.randint(1, 60) for _ in range(rng.randint(1, 12))]) for _ in range(30)]
    lanes = [rng.choice(list(Lane)) for _ in calls]
    keys = [rng.choice(["", "anna", "bob"]) for _ in calls]
    device, budget = scripted(), 64

    async def scenario() -> list[Embedded]:
        async with open_engine(device, budget=budget) as opened:
            asked = zip(calls, lanes, keys, strict=True)
            return await asyncio.gather(*(opened.asked(*texts, lane=lane, key=key) for texts, lane, key in asked))

    results = run(scenario())
    for lengths in device.lengths():
        assert len(lengths) == 1 or sum(lengths) <= budget
    hashing = HashingEmbedder()
    for texts, embedded in zip(calls, results, strict=True):
        expected = hashing.embed(hashing.tokenize(texts, TextKind.DOCUMENT))
        np.testing.assert_array_equal(embedded.vectors, expected)
        assert embedded.tokens == sum(map(hashing.count_tokens, texts))
    assert sum(map(len, device.batches)) == sum(map(len, calls))


def test_the_budget_is_used(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, budget=10) as opened:
            first = opened.asked("one")
            await device.entered()
            rest = opened.asked(*texts_of([2, 2, 2, 2, 2, 3]))
            await opened.waiting(13)
            device.gate.set()
            await asyncio.gather(first, rest)

    run(scenario())
    assert device.lengths() == [[1], [2] * 5, [3]]


def test_a_text_longer_than_the_budget_goes_alone(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()

    async def scenario() -> Embedded:
        async with open_engine(device, budget=4) as opened:
            return await opened.asked(*texts_of([1, 9, 1]), lane=Lane.QUERY)

    assert run(scenario()).tokens == 11
    assert device.lengths() == [[1], [9], [1]]


def test_queries_overtake_bulk(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)
    finished: list[str] = []

    async def scenario() -> None:
        async with open_engine(device) as opened:
            tasks = [opened.asked("alpha")]
            await device.entered()
            tasks += [opened.asked("beta"), opened.asked("gamma"), opened.asked("delta", lane=Lane.QUERY)]
            for task, name in zip(tasks, WORDS, strict=False):
                task.add_done_callback(lambda _, name=name: finished.append(name))
            await opened.waiting(3)
            device.gate.set()
            await asyncio.gather(*tasks)

    run(scenario())
    assert [len(batch) for batch in device.batches] == [1, 1, 2]
    assert finished == ["alpha", "delta", "beta", "gamma"]


def test_a_full_queue_refuses_all_or_nothing(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, queue=8) as opened:
            first = opened.asked("alpha")
            await device.entered()
            second = opened.asked("beta beta beta beta")
            await opened.waiting(4)
            with pytest.raises(OverloadedError, match=r"4 tokens wait in the bulk lane.* about 6 more .* 8 tokens"):
                await opened.asked("gamma", "delta")
            assert opened.queued() == 4
            opened.engine.measure()
            assert opened.value("quarry_queue_tokens", lane="bulk") == 4
            assert opened.value("quarry_queue_tokens", lane="query") == 0
            third = opened.asked("epsilon")
            await opened.waiting(5)
            device.gate.set()
            await asyncio.gather(first, second, third)
            assert opened.queued() == 0

    run(scenario())
    assert computed(device) == {"alpha", "beta", "epsilon"}


def test_a_full_lane_does_not_close_the_other(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device, queue=4) as opened:
            tasks = [opened.asked("alpha")]
            await device.entered()
            tasks.append(opened.asked("beta beta beta beta"))
            await opened.waiting(4)
            tasks.append(opened.asked("gamma", lane=Lane.QUERY))
            await opened.waiting(5)
            device.gate.set()
            await asyncio.gather(*tasks)

    run(scenario())
    assert computed(device) == {"alpha", "beta", "gamma"}


def test_a_call_larger_than_the_whole_queue_is_taken_when_nothing_waits(
    scripted: Scripted, open_engine: OpenEngine
) -> None:
    async def scenario() -> Embedded:
        async with open_engine(scripted(), queue=5) as opened:
            return await opened.asked(*texts_of([9]))

    assert run(scenario()).tokens == 9


def test_a_failed_forward_fails_its_own_callers_only(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> list[Embedded | BaseException]:
        async with open_engine(device, budget=4) as opened:
            device.failures.append(RuntimeError("the device burps"))
            first = opened.asked("alpha alpha alpha", "beta beta beta")
            await device.entered()
            second = opened.asked("gamma")
            await opened.waiting(4)
            device.gate.set()
            results = await asyncio.gather(first, second, return_exceptions=True)
            results.append(await opened.asked("delta", lane=Lane.QUERY))
            assert opened.engine.trouble is None
            assert opened.queued() == 0
            assert opened.value("quarry_batch_failures_total") == 1
            return results

    failed, *fine = run(scenario())
    assert isinstance(failed, EmbedderUnavailableError)
    assert str(failed) == "the forward failed: RuntimeError: the device burps"
    assert all(isinstance(result, Embedded) for result in fine)
    assert computed(device) == {"alpha", "gamma", "delta"}  # the rest of a failed call is not computed


def test_texts_of_callers_that_left_are_not_computed(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> None:
        async with open_engine(device) as opened:
            first = opened.asked("alpha")
            await device.entered()
            leaving, staying = opened.asked("beta", "gamma"), opened.asked("delta")
            await opened.waiting(3)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            device.gate.set()
            await asyncio.gather(first, staying)
            assert opened.queued() == 0

    run(scenario())
    assert computed(device) == {"alpha", "delta"}


def test_a_stop_leaves_no_caller_hanging(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)

    async def scenario() -> list[Embedded | BaseException]:
        async with open_engine(device, budget=1) as opened:
            tasks = [opened.asked("alpha")]
            await device.entered()
            tasks += [opened.asked("beta"), opened.asked("gamma", lane=Lane.QUERY)]
            await opened.waiting(2)
            opening = asyncio.create_task(open_when_stopped(opened, device))
        await opening
        return await asyncio.gather(*tasks, return_exceptions=True)

    under_way, *waiting = run(scenario())
    assert isinstance(under_way, Embedded)
    assert [str(result) for result in waiting] == ["the server is stopping"] * 2
    assert all(isinstance(result, EmbedderUnavailableError) for result in waiting)
    assert computed(device) == {"alpha"}


async def open_when_stopped(opened: Any, device: Any) -> None:  # noqa: ANN401
    """A stop waits for the forward under way, so somebody must let it through."""
    while opened.engine.trouble is None:  # noqa: ASYNC110  the engine announces no change of it
        await asyncio.sleep(0)
    device.gate.set()


@pytest.mark.parametrize("text", ["alpha", "alpha " * 1000])
def test_nothing_is_taken_after_the_stop(text: str, scripted: Scripted, open_engine: OpenEngine) -> None:
    async def scenario() -> None:
        async with open_engine(scripted()) as opened:
            pass
        with pytest.raises(EmbedderUnavailableError, match="the server is stopping"):
            await opened.asked(text, lane=Lane.QUERY)

    run(scenario())


def test_no_texts_no_forward(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()

    async def scenario() -> Embedded:
        async with open_engine(device) as opened:
            return await opened.asked(lane=Lane.QUERY)

    assert run(scenario()).vectors.shape == (0, 64)
    assert device.batches == []


def test_a_text_without_a_token_is_an_answer_like_any_other(scripted: Scripted, open_engine: OpenEngine) -> None:
    async def scenario() -> list[Embedded]:
        async with open_engine(scripted()) as opened:
            return [await opened.asked(text, lane=Lane.QUERY) for text in ("!!!", "alpha")]

    assert [embedded.tokens for embedded in run(scenario())] == [0, 1]


def test_who_runs_where(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()

    async def scenario() -> None:
        async with open_engine(device) as opened:
            await opened.asked("short", lane=Lane.QUERY)
            await opened.asked("long " * 1000)

    run(scenario())
    assert device.threads == {"tokenize on MainThread", "tokenize on quarry-tokenizer", "launch on quarry-device"}


def test_what_a_call_is_told_of_its_cost(scripted: Scripted, open_engine: OpenEngine) -> None:
    async def scenario() -> Embedded:
        async with open_engine(scripted(), budget=2) as opened:
            embedded = await opened.asked(*texts_of([2, 2, 1]))
            assert opened.value("quarry_batch_tokens_count", model="hashing", lane="bulk") == 3
            assert opened.value("quarry_batch_tokens_sum", model="hashing", lane="bulk") == 5
            assert opened.value("quarry_queue_seconds_count", lane="bulk") == 1
            assert opened.value("quarry_queue_seconds_sum", lane="bulk") == pytest.approx(embedded.queue_s)
            return embedded

    embedded = run(scenario())
    assert embedded.queue_s >= 0
    assert embedded.forward_s > 0


def test_the_bulk_lane_waits_at_the_gate_and_queries_pass(open_engine: OpenEngine) -> None:
    async def scenario() -> None:
        async with open_engine(HashingEmbedder()) as opened:
            opened.hold.hold(Cause.START)
            late = opened.asked("alpha", deadline=Deadline.after(1))
            waiting = opened.asked("alpha")
            await opened.asked("beta", lane=Lane.QUERY)
            with pytest.raises(OverloadedError, match="bulk work is held"):
                await late
            assert not waiting.done()
            opened.hold.release(Cause.START)
            assert (await waiting).vectors.shape[0] == 1

    run(scenario())
