"""The batcher: what goes into a forward, in which order, and what happens when something fails."""

import asyncio
import random
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
import pytest

from models.base import Embedder, EmbedderInfo, TextKind, TokenIds, Vectors
from models.hashing import HashingEmbedder
from service.batching import Embedded, EmbeddingBatcher, Lane
from service.errors import EmbedderUnavailableError, OverloadedError
from service.telemetry.metrics import Metrics

PATIENCE_S = 20.0
ROOMY = 1_000_000

T = TypeVar("T")


class Scripted:
    """An embedder that records its batches, waits at a gate, and fails when told to."""

    def __init__(self, inner: Embedder | None = None, *, is_open: bool = True) -> None:
        self._inner = inner or HashingEmbedder()
        self.batches: list[list[TokenIds]] = []
        self.failures: list[Exception] = []
        self.threads: set[str] = set()
        self.gate = threading.Event()
        self._entered = threading.Semaphore(0)
        if is_open:
            self.gate.set()

    @property
    def info(self) -> EmbedderInfo:
        return self._inner.info

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[TokenIds]:
        self.threads.add(f"tokenize on {threading.current_thread().name.rstrip('_0123456789')}")
        return self._inner.tokenize(texts, kind)

    def count_tokens(self, text: str) -> int:
        return self._inner.count_tokens(text)

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        self.threads.add(f"embed on {threading.current_thread().name.rstrip('_0123456789')}")
        self.batches.append(list(batch))
        self._entered.release()
        assert self.gate.wait(PATIENCE_S)
        if self.failures:
            raise self.failures.pop()
        return self._inner.embed(batch)

    async def entered(self) -> None:
        """A forward has begun."""
        assert await asyncio.to_thread(self._entered.acquire, timeout=PATIENCE_S)

    def computed(self) -> set[str]:
        """Words of the vocabulary below that went through a forward."""
        seen = {token for batch in self.batches for ids in batch for token in ids}
        return {word for word in WORDS if HashingEmbedder().tokenize([word], TextKind.QUERY)[0][0] in seen}


WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def batcher(embedder: Embedder, budget: int = ROOMY, queue: int = ROOMY, metrics: Metrics | None = None) -> Any:  # noqa: ANN401
    return EmbeddingBatcher(embedder, budget, queue, metrics or Metrics())


def asked(of: EmbeddingBatcher, *texts: str, lane: Lane = Lane.BULK) -> "asyncio.Task[Embedded]":
    return asyncio.create_task(of.embed(texts, TextKind.DOCUMENT, lane))


async def waiting(of: EmbeddingBatcher, tokens: int) -> None:
    """The queue holds ``tokens``; short texts get there in one turn of the loop."""
    while of.queued_tokens != tokens:  # noqa: ASYNC110  the batcher announces no change of it
        await asyncio.sleep(0)


def texts_of(lengths: Sequence[int]) -> list[str]:
    return [" ".join(f"w{number}x{position}" for position in range(length)) for number, length in enumerate(lengths)]


def test_batched_and_alone_are_the_same_to_the_real_model(embedder: Embedder) -> None:
    texts = [f"{WORDS[n % 6]} number {n}, " + "and so on " * (n % 13) for n in range(40)]
    recording = Scripted(embedder)

    async def scenario() -> list[Embedded]:
        async with batcher(recording, 1024) as running:
            return await asyncio.gather(*(asked(running, text, lane=Lane.QUERY) for text in texts))

    together = np.concatenate([embedded.vectors for embedded in run(scenario())])
    alone = np.concatenate([embedder.embed(embedder.tokenize([text], TextKind.DOCUMENT)) for text in texts])
    assert len(recording.batches) < len(texts) / 2
    assert np.sum(together * alone, axis=1).min() > 0.999
    assert np.argmax(together @ alone.T, axis=1).tolist() == list(range(len(texts)))


@pytest.mark.parametrize("seed", range(5))
def test_the_budget_holds_with_padding(seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    rng = random.Random(seed)  # noqa: S311
    calls = [texts_of([rng.randint(1, 60) for _ in range(rng.randint(1, 12))]) for _ in range(30)]
    lanes = [rng.choice(list(Lane)) for _ in calls]
    scripted, budget = Scripted(), 64

    async def scenario() -> list[Embedded]:
        async with batcher(scripted, budget) as running:
            tasks = [asked(running, *texts, lane=lane) for texts, lane in zip(calls, lanes, strict=True)]
            return await asyncio.gather(*tasks)

    results = run(scenario())
    for batch in scripted.batches:
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= budget
    hashing = HashingEmbedder()
    for texts, embedded in zip(calls, results, strict=True):
        expected = hashing.embed(hashing.tokenize(texts, TextKind.DOCUMENT))
        np.testing.assert_array_equal(embedded.vectors, expected)
        assert embedded.tokens == sum(map(hashing.count_tokens, texts))
    assert sum(map(len, scripted.batches)) == sum(map(len, calls))


def test_the_budget_is_used() -> None:
    scripted = Scripted(is_open=False)

    async def scenario() -> None:
        async with batcher(scripted, 10) as running:
            first = asked(running, "one")
            await scripted.entered()
            rest = [asked(running, *texts_of([2, 2, 2, 2, 2, 3]))]
            await waiting(running, 13)
            scripted.gate.set()
            await asyncio.gather(first, *rest)

    run(scenario())
    assert [[len(ids) for ids in batch] for batch in scripted.batches] == [[1], [2] * 5, [3]]


def test_a_text_longer_than_the_budget_goes_alone() -> None:
    scripted = Scripted()

    async def scenario() -> Embedded:
        async with batcher(scripted, 4) as running:
            return await running.embed(texts_of([1, 9, 1]), TextKind.QUERY, Lane.QUERY)

    assert run(scenario()).tokens == 11
    assert [[len(ids) for ids in batch] for batch in scripted.batches] == [[1], [9], [1]]


def test_queries_overtake_bulk() -> None:
    scripted = Scripted(is_open=False)
    finished: list[str] = []

    async def scenario() -> None:
        async with batcher(scripted) as running:
            tasks = [asked(running, "alpha")]
            await scripted.entered()
            tasks += [asked(running, "beta"), asked(running, "gamma"), asked(running, "delta", lane=Lane.QUERY)]
            for task, name in zip(tasks, WORDS, strict=False):
                task.add_done_callback(lambda _, name=name: finished.append(name))
            await waiting(running, 3)
            scripted.gate.set()
            await asyncio.gather(*tasks)

    run(scenario())
    assert [len(batch) for batch in scripted.batches] == [1, 1, 2]
    assert finished == ["alpha", "delta", "beta", "gamma"]


def test_a_full_queue_refuses_all_or_nothing() -> None:
    scripted, metrics = Scripted(is_open=False), Metrics()

    async def scenario() -> None:
        async with batcher(scripted, queue=5, metrics=metrics) as running:
            first = asked(running, "alpha")
            await scripted.entered()
            second = asked(running, "beta beta beta beta")
            await waiting(running, 4)
            with pytest.raises(OverloadedError, match=r"4 tokens wait .* and 2 more .* the limit is 5") as raised:
                await running.embed(["gamma", "delta"], TextKind.DOCUMENT, Lane.QUERY)
            assert raised.value.retry_after_s >= 0.05
            assert running.queued_tokens == 4
            assert b"quarry_queue_tokens 4.0" in metrics.render()
            third = asked(running, "epsilon")
            await waiting(running, 5)
            scripted.gate.set()
            await asyncio.gather(first, second, third)
            assert running.queued_tokens == 0

    run(scenario())
    assert scripted.computed() == {"alpha", "beta", "epsilon"}


def test_a_call_larger_than_the_whole_queue_is_taken_when_nothing_waits() -> None:
    async def scenario() -> Embedded:
        async with batcher(Scripted(), queue=5) as running:
            return await running.embed(texts_of([9]), TextKind.DOCUMENT, Lane.BULK)

    assert run(scenario()).tokens == 9


def test_a_failed_forward_fails_its_own_callers_only() -> None:
    scripted, metrics = Scripted(is_open=False), Metrics()

    async def scenario() -> list[Embedded | BaseException]:
        async with batcher(scripted, 4, metrics=metrics) as running:
            scripted.failures.append(RuntimeError("the device burps"))
            first = asked(running, "alpha alpha alpha", "beta beta beta")
            await scripted.entered()
            second = asked(running, "gamma")
            await waiting(running, 4)
            scripted.gate.set()
            results = await asyncio.gather(first, second, return_exceptions=True)
            results.append(await running.embed(["delta"], TextKind.QUERY, Lane.QUERY))
            assert running.is_running
            return results

    failed, *fine = run(scenario())
    assert isinstance(failed, EmbedderUnavailableError)
    assert str(failed) == "the forward failed: RuntimeError: the device burps"
    assert all(isinstance(result, Embedded) for result in fine)
    assert scripted.computed() == {"alpha", "gamma", "delta"}  # the rest of a failed call is not computed
    assert b"quarry_batch_failures_total 1.0" in metrics.render()


def test_a_model_that_returns_too_little_does_not_end_the_loop() -> None:
    class Short(Scripted):
        def embed(self, batch: Sequence[TokenIds]) -> Vectors:
            return super().embed(batch)[:-1] if len(self.batches) == 0 else super().embed(batch)

    async def scenario() -> Embedded:
        async with batcher(Short()) as running:
            with pytest.raises(EmbedderUnavailableError, match="ValueError"):
                await running.embed(["alpha", "beta"], TextKind.QUERY, Lane.QUERY)
            return await running.embed(["alpha"], TextKind.QUERY, Lane.QUERY)

    assert run(scenario()).tokens == 1


def test_texts_of_callers_that_left_are_not_computed() -> None:
    scripted = Scripted(is_open=False)

    async def scenario() -> None:
        async with batcher(scripted) as running:
            first = asked(running, "alpha")
            await scripted.entered()
            leaving, staying = asked(running, "beta", "gamma"), asked(running, "delta")
            await waiting(running, 3)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            scripted.gate.set()
            await asyncio.gather(first, staying)
            assert running.queued_tokens == 0

    run(scenario())
    assert scripted.computed() == {"alpha", "delta"}


def test_a_stop_leaves_no_caller_hanging() -> None:
    scripted = Scripted(is_open=False)

    async def scenario() -> list[Embedded | BaseException]:
        with ThreadPoolExecutor(1) as opener:
            async with batcher(scripted, 1) as running:
                tasks = [asked(running, "alpha")]
                await scripted.entered()
                tasks += [asked(running, "beta"), asked(running, "gamma", lane=Lane.QUERY)]
                await waiting(running, 2)
                opener.submit(_open_when_stopped, running, scripted.gate)
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(scenario())
    assert [str(result) for result in results] == ["the server is stopping"] * 3
    assert all(isinstance(result, EmbedderUnavailableError) for result in results)
    assert scripted.computed() == {"alpha"}


def _open_when_stopped(running: EmbeddingBatcher, gate: threading.Event) -> None:
    """A stop waits for the forward under way, so somebody outside the loop must let it through."""
    for _ in range(2000):
        if not running.is_running or gate.wait(0.01):
            break
    gate.set()


@pytest.mark.parametrize("text", ["alpha", "alpha " * 1000])
def test_nothing_is_taken_after_the_stop(text: str) -> None:
    async def scenario() -> None:
        async with batcher(Scripted()) as running:
            pass
        with pytest.raises(EmbedderUnavailableError, match="the server is stopping"):
            await running.embed([text], TextKind.QUERY, Lane.QUERY)

    run(scenario())


def test_no_texts_no_forward() -> None:
    scripted = Scripted()

    async def scenario() -> Embedded:
        async with batcher(scripted) as running:
            return await running.embed([], TextKind.QUERY, Lane.QUERY)

    assert run(scenario()).vectors.shape == (0, 64)
    assert scripted.batches == []


def test_a_text_without_a_token_is_an_answer_like_any_other() -> None:
    async def scenario() -> list[Embedded]:
        async with batcher(Scripted()) as running:
            return [await running.embed([text], TextKind.QUERY, Lane.QUERY) for text in ("!!!", "alpha")]

    assert [embedded.tokens for embedded in run(scenario())] == [0, 1]


def test_who_runs_where() -> None:
    scripted = Scripted()

    async def scenario() -> None:
        async with batcher(scripted) as running:
            await running.embed(["short"], TextKind.QUERY, Lane.QUERY)
            await running.embed(["long " * 1000], TextKind.DOCUMENT, Lane.BULK)

    run(scenario())
    assert scripted.threads == {"tokenize on MainThread", "tokenize on quarry-tokenizer", "embed on quarry-device"}


def test_what_a_call_is_told_of_its_cost() -> None:
    metrics = Metrics()

    async def scenario() -> Embedded:
        async with batcher(Scripted(), 2, metrics=metrics) as running:
            return await running.embed(texts_of([2, 2, 1]), TextKind.DOCUMENT, Lane.BULK)

    embedded = run(scenario())
    assert embedded.queue_s >= 0
    assert embedded.forward_s > 0
    assert b'quarry_batch_tokens_count{lane="bulk"} 3.0' in metrics.render()
    assert b'quarry_batch_tokens_sum{lane="bulk"} 5.0' in metrics.render()


def test_the_thread_that_is_handed_in_runs_the_forwards() -> None:
    names: set[str] = set()

    class Noting(HashingEmbedder):
        def embed(self, batch: Sequence[TokenIds]) -> Vectors:
            names.add(threading.current_thread().name)
            return super().embed(batch)

    async def scenario() -> None:
        device = ThreadPoolExecutor(1, thread_name_prefix="loaded-here")
        async with EmbeddingBatcher(Noting(), 64, 1000, Metrics(), device) as batcher:
            await batcher.embed(["one", "two"], TextKind.QUERY, Lane.QUERY)

    asyncio.run(scenario())
    assert names == {"loaded-here_0"}
