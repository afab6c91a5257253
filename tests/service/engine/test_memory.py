"""A device that runs out of memory: halves, a lower budget, and only what fits nowhere fails."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import numpy as np
import pytest

from models.base import DeviceMemoryError, Launched, TextKind, TokenIds
from models.hashing import HashingEmbedder
from service.batching import Embedded
from service.errors import EmbedderUnavailableError
from service.scheduling.job import Lane

PATIENCE_S = 200.0

T = TypeVar("T")
Scripted = Callable[..., Any]
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def text_of(tokens: int, name: str = "w") -> str:
    return " ".join(f"{name}{position}" for position in range(tokens))


def expected(texts: Sequence[str]) -> np.ndarray[Any, Any]:
    hashing = HashingEmbedder()
    return hashing.embed(hashing.tokenize(texts, TextKind.DOCUMENT))


@pytest.mark.parametrize("seed", range(4))
def test_everybody_is_answered_in_smaller_batches(seed: int, scripted: Scripted, open_engine: OpenEngine) -> None:
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    rng = random.Random(seed)  # noqa: S311
    calls = [[text_of(rng.randint(1, 8), f"s{n}x{i}x") for i in range(rng.randint(1, 5))] for n in range(20)]
    device = scripted(is_open=False)
    device.fitting = 9

    async def scenario() -> list[Embedded]:
        async with open_engine(device, budget=64) as opened:
            tasks = [opened.asked("first")]
            await device.entered()
            tasks += [opened.asked(*texts, lane=rng.choice(list(Lane))) for texts in calls]
            await opened.waiting(sum(len(text.split()) for texts in calls for text in texts))
            device.gate.set()
            results = await asyncio.gather(*tasks)
            (model,) = opened.engine.describe()["models"].values()
            assert model["batch_tokens"]["query"] <= 32
            assert opened.value("quarry_oom_splits_total") == sum(sum(batch) > 9 for batch in device.lengths()) > 0
            assert opened.value("quarry_batch_failures_total") == 0
            assert opened.queued() == 0
            return results

    for texts, embedded in zip(calls, run(scenario())[1:], strict=True):
        np.testing.assert_array_equal(embedded.vectors, expected(texts))
    computed = [batch for batch in device.lengths() if sum(batch) <= 9]
    assert sum(map(len, computed)) == 1 + sum(map(len, calls))


def test_what_does_not_fit_alone_fails_alone(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted(is_open=False)
    device.fitting = 9

    async def scenario() -> list[Embedded | BaseException]:
        async with open_engine(device, budget=64) as opened:
            tasks = [opened.asked("first")]
            await device.entered()
            tasks += [opened.asked(text_of(tokens, name)) for tokens, name in ((4, "a"), (10, "b"), (4, "c"))]
            await opened.waiting(18)
            device.gate.set()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert opened.engine.trouble is None
            assert opened.value("quarry_batch_failures_total") == 1
            return results

    _, short, long, other = run(scenario())
    assert isinstance(long, EmbedderUnavailableError)
    assert str(long) == "the forward failed: DeviceMemoryError: 10 tokens did not fit"
    assert isinstance(short, Embedded)
    assert isinstance(other, Embedded)
    np.testing.assert_array_equal(short.vectors, expected([text_of(4, "a")]))
    np.testing.assert_array_equal(other.vectors, expected([text_of(4, "c")]))


def test_the_other_half_of_a_call_that_failed_is_not_computed(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()
    device.fitting = 9

    async def scenario() -> None:
        async with open_engine(device, budget=64) as opened:
            with pytest.raises(EmbedderUnavailableError, match="10 tokens did not fit"):
                await opened.asked(text_of(10, "a"), text_of(9, "b"))
            await opened.asked("next")
            assert opened.queued() == 0

    run(scenario())
    assert device.lengths() == [[10, 9], [10], [1]]


def test_memory_that_is_never_enough_ends(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()
    device.fitting = 0

    async def scenario() -> list[Embedded | BaseException]:
        async with open_engine(device, budget=64) as opened:
            tasks = [opened.asked(text_of(2, f"a{n}x"), text_of(2, f"b{n}x")) for n in range(8)]
            results = await asyncio.gather(*tasks, return_exceptions=True)
            forwards = len(device.batches)
            device.fitting = 64
            results.append(await opened.asked("next"))
            assert len(device.batches) == forwards + 1
            assert opened.queued() == 0
            return results

    *failed, fine = run(scenario())
    assert all(isinstance(result, EmbedderUnavailableError) for result in failed)
    assert isinstance(fine, Embedded)
    assert len(device.batches) <= 2 * 16


def test_memory_that_runs_out_while_the_result_is_waited_for(open_engine: OpenEngine) -> None:
    class Late(HashingEmbedder):
        sizes: list[int]

        def launch(self, batch: Sequence[TokenIds]) -> Launched:
            self.sizes.append(len(batch))
            return _LateResult(super().launch(batch), is_short=len(batch) > 1)

    device = Late()
    device.sizes = []
    texts = [text_of(3, name) for name in "abcd"]

    async def scenario() -> Embedded:
        async with open_engine(device) as opened:
            embedded = await opened.asked(*texts)
            assert opened.value("quarry_oom_splits_total") == 3
            return embedded

    np.testing.assert_array_equal(run(scenario()).vectors, expected(texts))
    assert device.sizes == [4, 2, 1, 1, 2, 1, 1]


class _LateResult:
    """Says only at the end that memory ran out."""

    def __init__(self, inner: Launched, *, is_short: bool) -> None:
        self._inner = inner
        self._is_short = is_short
        self.computed_tokens = inner.computed_tokens
        self.is_done = False

    def tell(self, call: Callable[[], None]) -> bool:
        return False

    def result(self) -> np.ndarray[Any, Any]:
        if self._is_short:
            raise DeviceMemoryError("it did not fit")
        return self._inner.result()
