"""The measurements of the engine, in small: what they count is right, and the ratios that hold on any machine do."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from service.cli.bench.embed.cancellation import cancel_half
from service.cli.bench.embed.interference import beside_busy_thread, beside_ingest
from service.cli.bench.embed.parity import parity
from service.cli.bench.embed.rig import Rig, rig
from service.cli.bench.embed.run import Target
from service.cli.bench.embed.saturation import saturate
from service.cli.bench.embed.texts import BenchTexts
from service.embedding_settings import EmbeddingSettings

# The machine may give these a tenth of what they take alone.
pytestmark = pytest.mark.timeout(600)

TEXTS = BenchTexts.made_up(64)

Measured = Callable[[Callable[[Rig], Awaitable[Any]]], Any]


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    """(measure) -> what it makes of the bundled model, as the server has it; one rig for all that is measured."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(rig(EmbeddingSettings())) as it:
        yield lambda measure: portal.call(measure, it)


def test_made_up_texts_are_the_same_every_time_and_of_their_lengths() -> None:
    assert BenchTexts.made_up(64) == TEXTS
    assert all(6 <= len(text.split()) <= 12 for text in TEXTS.short)
    assert all(60 <= len(text.split()) <= 180 for text in TEXTS.long)


@pytest.mark.slow
def test_the_engine_keeps_up_with_the_bare_model(measured: Measured) -> None:
    """Wide: on a busy machine everything but the order of magnitude is chance."""

    async def measure(it: Rig) -> list[tuple[float, float]]:
        return [
            (result.ratio, result.padding_waste)
            for per_request in (1, 16)
            for result in [await saturate(it, "short", TEXTS.short, per_request)]
        ]

    for ratio, waste in measured(measure):
        assert ratio > 0.3
        assert 0 <= waste < 0.25


@pytest.mark.slow
def test_a_query_beside_a_thread_that_parses_json_takes_no_more_than_four_times_as_long(measured: Measured) -> None:
    """The best of three: what the program adds is in all of them, what the machine adds is not."""

    async def measure(it: Rig) -> float:
        return min([(await beside_busy_thread(it, TEXTS.short, 1, of_a_round=15)).p50_ratio for _ in range(3)])

    assert measured(measure) <= 4


@pytest.mark.slow
def test_an_ingest_and_queries_leave_each_other_alive(measured: Measured) -> None:
    async def measure(it: Rig) -> float:
        return (await beside_ingest(it, TEXTS.short, TEXTS.long[:8], 1000, rounds=1, of_a_round=40)).kept

    assert measured(measure) > 0.2


def test_what_is_cancelled_in_the_queue_is_not_computed(measured: Measured) -> None:
    result = measured(lambda it: cancel_half(it, TEXTS.long))
    assert result.unlaunched_tokens > 0
    assert result.saved >= 0.99


def test_served_vectors_are_those_of_the_library(measured: Measured) -> None:
    result = measured(lambda it: parity(it, "all-MiniLM-L6-v2", [*TEXTS.short[:20], *TEXTS.long[:5]]))
    assert result.texts == 25
    assert result.lowest >= 0.999


@pytest.mark.parametrize(("value", "is_most", "is_met"), [(1.0, True, True), (2.1, True, False), (2.1, False, True)])
def test_a_target_is_met_on_its_side_of_the_limit(value: float, is_most: bool, is_met: bool) -> None:
    assert Target("it", value, 2.0, is_most).is_met is is_met
