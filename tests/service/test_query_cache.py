"""Vectors of queries that were asked before."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import numpy as np
import pytest

from models.base import TextKind
from models.hashing import HashingEmbedder
from service.errors import EmbedderUnavailableError
from service.query_cache import QueryCache, QueryKey
from service.telemetry.metrics import Metrics

PATIENCE_S = 200.0

T = TypeVar("T")
Scripted = Callable[..., Any]
OpenEngine = Callable[..., AbstractAsyncContextManager[Any]]


def run(scenario: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def key(text: str, fingerprint: str = "f", dtype: str = "float32", prompt: str = "") -> QueryKey:
    return fingerprint, dtype, prompt, text


def vector(value: float = 1.0, dimension: int = 8) -> Any:  # noqa: ANN401
    return np.full(dimension, value, np.float32)


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


def size_of(text: str) -> int:
    cache = QueryCache(100_000, Metrics().device)
    cache.put(key(text), vector(), 1)
    return cache.size_bytes


def test_what_is_kept_is_found_again_and_counted() -> None:
    metrics = Metrics()
    cache = QueryCache(100_000, metrics.device)
    assert cache.get(key("a")) is None
    cache.put(key("a"), vector(0.5), 3)
    found = cache.get(key("a"))
    assert found is not None
    assert (found.vector.tolist(), found.tokens) == ([0.5] * 8, 3)
    assert value(metrics, "quarry_query_cache_lookups_total", outcome="miss") == 1
    assert value(metrics, "quarry_query_cache_lookups_total", outcome="hit") == 1
    assert value(metrics, "quarry_query_cache_bytes") == cache.size_bytes > 8 * 4


@pytest.mark.parametrize("other", [key("b"), key("a", "g"), key("a", dtype="bfloat16"), key("a", prompt="query: ")])
def test_another_model_precision_prompt_or_text_is_another_query(other: QueryKey) -> None:
    cache = QueryCache(100_000, Metrics().device)
    cache.put(key("a"), vector(), 1)
    assert cache.get(other) is None


def test_the_vector_is_a_private_copy_that_cannot_be_written_to() -> None:
    cache = QueryCache(100_000, Metrics().device)
    block = np.ones((1000, 8), np.float32)
    cache.put(key("a"), block[7], 1)
    block[7] = 9
    found = cache.get(key("a"))
    assert found is not None
    assert found.vector.tolist() == [1.0] * 8
    assert found.vector.base is None  # a row would keep the whole block alive
    with pytest.raises(ValueError, match="read-only"):
        found.vector[0] = 2
    assert block.flags.writeable


def test_the_bytes_are_bounded_and_the_least_recently_used_go_first() -> None:
    room = 3 * size_of("a")
    cache = QueryCache(room, Metrics().device)
    for text in "abc":
        cache.put(key(text), vector(), 1)
    assert cache.get(key("a"))
    cache.put(key("d"), vector(), 1)
    assert cache.size_bytes <= room
    assert [text for text in "abcd" if cache.get(key(text))] == ["a", "c", "d"]


def test_size_counts_the_text_and_the_vector() -> None:
    assert size_of("x" * 1000) == size_of("") + 1000
    assert size_of("é" * 1000) == size_of("") + 2000
    cache = QueryCache(100_000, Metrics().device)
    cache.put(key("a"), vector(dimension=1000), 1)
    assert cache.size_bytes == size_of("a") + 4 * 992


def test_the_same_query_again_is_not_counted_twice() -> None:
    cache = QueryCache(100_000, Metrics().device)
    for _ in range(5):
        cache.put(key("a"), vector(), 1)
    assert cache.size_bytes == size_of("a")


@pytest.mark.parametrize("room", [0, 1, 100])
def test_what_is_larger_than_the_whole_cache_is_not_kept(room: int) -> None:
    metrics = Metrics()
    cache = QueryCache(room, metrics.device)
    cache.put(key("a"), vector(), 1)
    assert cache.get(key("a")) is None
    assert cache.size_bytes == value(metrics, "quarry_query_cache_bytes") == 0


def test_a_large_query_drives_nothing_out_when_it_has_no_room_itself() -> None:
    cache = QueryCache(2 * size_of("a"), Metrics().device)
    cache.put(key("a"), vector(), 1)
    cache.put(key("x" * 10_000), vector(), 1)
    assert cache.get(key("a"))


def test_a_repeated_query_costs_no_forward(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()

    async def scenario() -> None:
        async with open_engine(device, cache_bytes=100_000) as opened:
            (batcher,) = opened.batchers
            first = await batcher.embed_query("honey bees sleep")
            again = await batcher.embed_query("honey bees sleep")
            np.testing.assert_array_equal(again.vectors, first.vectors)
            assert (first.tokens, again.tokens, again.queue_s, again.forward_s) == (3, 3, 0, 0)
            assert again.vectors.shape == (1, 64)
            first.vectors[:] = 7  # a caller's own
            np.testing.assert_array_equal((await batcher.embed_query("honey bees sleep")).vectors, again.vectors)
            assert len(device.batches) == 1
            await batcher.embed_query("Honey bees sleep")
            assert len(device.batches) == 2

    run(scenario())


def test_documents_and_failures_are_not_kept(scripted: Scripted, open_engine: OpenEngine) -> None:
    device = scripted()

    async def scenario() -> None:
        async with open_engine(device, cache_bytes=100_000) as opened:
            (batcher,) = opened.batchers
            device.failures.append(RuntimeError("the device burps"))
            with pytest.raises(EmbedderUnavailableError):
                await batcher.embed_query("bees")
            assert (await batcher.embed_query("bees")).tokens == 1
            for _ in range(2):
                await opened.asked("bees")
            assert len(device.batches) == 4

    run(scenario())


def test_two_models_keep_apart(scripted: Scripted, open_engine: OpenEngine) -> None:
    wide, narrow = scripted(HashingEmbedder(64), name="wide"), scripted(HashingEmbedder(32), name="narrow")

    async def scenario() -> list[tuple[int, ...]]:
        async with open_engine(wide, narrow, cache_bytes=100_000) as opened:
            queries = [await batcher.embed_query("bees") for batcher in (*opened.batchers, *opened.batchers)]
            return [embedded.vectors.shape for embedded in queries]

    assert run(scenario()) == [(1, 64), (1, 32)] * 2
    assert len(wide.batches) == len(narrow.batches) == 1


def test_the_prompt_of_a_query_is_used(scripted: Scripted, open_engine: OpenEngine) -> None:
    kinds: list[TextKind] = []

    class Noting(HashingEmbedder):
        def tokenize(self, texts: Any, kind: TextKind) -> Any:  # noqa: ANN401
            kinds.append(kind)
            return super().tokenize(texts, kind)

    async def scenario() -> None:
        async with open_engine(scripted(Noting())) as opened:
            await opened.batchers[0].embed_query("bees")

    run(scenario())
    assert kinds == [TextKind.QUERY]
