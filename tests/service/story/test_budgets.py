"""What is counted of budgets, by the application as a whole: once for each question and stage."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from models.cross_encoder import CrossEncoderReranker
from overlap import Overlap
from service.errors import LlmUnavailableError
from service.generation.base import Delta, Finished

AMPLE_MS = 600_000
AMPLE = {f"{stage}_ms": AMPLE_MS for stage in ("embed", "search", "rerank", "rewrite", "llm_ttft", "llm_itl", "total")}
RETRIEVAL = {"embed": "met", "search": "met"}
ANSWER = {"llm_ttft": "met", "llm_itl": "met", "total": "met"}

OpenStory = Callable[..., AbstractAsyncContextManager[Any]]


async def counted(story: Any) -> dict[str, str]:  # noqa: ANN401
    """Outcome by stage, of those that were counted once; a stage counted twice is no outcome at all."""
    families = text_string_to_metric_families((await story.http.get("/metrics")).text)
    samples = [sample for family in families if family.name == "quarry_budget" for sample in family.samples]
    counts = {(sample.labels["stage"], sample.labels["outcome"]): sample.value for sample in samples}
    assert set(counts.values()) <= {0, 1}
    return {stage: outcome for (stage, outcome), value in counts.items() if value}


def after(open_story: OpenStory, prepare: Callable[[Any], Any] = lambda _: None, **asked: Any) -> dict[str, str]:  # noqa: ANN401
    """What one question leaves."""
    settings = asked.pop("settings", {"budgets": AMPLE})

    async def told() -> dict[str, str]:
        async with open_story(**settings) as story:
            prepare(story)
            await story.ask(**asked)
            return await counted(story)

    return asyncio.run(told())


def test_a_search(open_story: OpenStory) -> None:
    assert after(open_story, route="/v1/search") == {**RETRIEVAL, "total": "met"}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer(open_story: OpenStory, stream: bool) -> None:
    assert after(open_story, stream=stream) == {**RETRIEVAL, **ANSWER}


def test_stages_without_a_budget_are_not_counted(open_story: OpenStory) -> None:
    assert after(open_story, settings={"budgets": {"rerank_ms": None}}) == {"total": "met"}


def test_reranking_and_rewriting(open_story: OpenStory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrossEncoderReranker, "load", lambda _, **__: Overlap())
    messages = [
        {"role": "user", "content": "What of bees?"},
        {"role": "assistant", "content": "They sleep."},
        {"role": "user", "content": "When?"},
    ]
    settings = {"budgets": AMPLE, "rerank": {"model": "overlap"}}
    outcomes = after(open_story, query=None, messages=messages, settings=settings)
    assert outcomes == {**RETRIEVAL, "rerank": "met", "rewrite": "met", **ANSWER}


@pytest.mark.parametrize(
    ("script", "missed"), [([None], {"llm_ttft": "missed"}), ([Delta("They "), None], {"llm_itl": "missed"})]
)
def test_a_model_that_falls_silent(open_story: OpenStory, script: list[Any], missed: dict[str, str]) -> None:
    def silent(story: Any) -> None:  # noqa: ANN401
        story.llm.script = script

    settings = {"budgets": AMPLE | dict.fromkeys((f"{stage}_ms" for stage in missed), 30)}
    before = {} if "llm_ttft" in missed else {"llm_ttft": "met"}
    assert after(open_story, silent, settings=settings) == {**RETRIEVAL, "total": "met", **before, **missed}


def test_a_model_that_fails_at_once_says_nothing_of_its_budget(open_story: OpenStory) -> None:
    def fails(story: Any) -> None:  # noqa: ANN401
        story.llm.script = [LlmUnavailableError("gone")]

    assert after(open_story, fails) == {**RETRIEVAL, "total": "met"}
    assert after(open_story, fails, on_failure="fail") == RETRIEVAL
    assert after(open_story, fails, on_failure="fail", stream=True) == RETRIEVAL


def test_an_answer_without_a_second_piece(open_story: OpenStory) -> None:
    def finishes(story: Any) -> None:  # noqa: ANN401
        story.llm.script = [Finished("stop", abstained=True)]

    assert after(open_story, finishes) == {**RETRIEVAL, "total": "met"}


def test_an_embedder_that_is_late(open_story: OpenStory, scripted: Any) -> None:  # noqa: ANN401
    async def told() -> dict[str, str]:
        embedder = scripted()
        async with open_story(embedder, budgets=AMPLE | {"embed_ms": 30}) as story:
            embedder.gate.clear()
            await story.ask()
            embedder.gate.set()
            return await counted(story)

    assert asyncio.run(told()) == {"embed": "missed"}


def test_a_stream_whose_client_left_says_nothing_of_the_whole(open_story: OpenStory) -> None:
    async def told() -> dict[str, str]:
        async with open_story(budgets=AMPLE) as story:
            story.llm.script = [Delta("Half an ans"), None]
            asked = {"query": "When do the honey bees sleep?", "collection": "docs", "stream": True}
            await story.asked_and_left("/v1/query", asked)
            return await counted(story)

    assert "total" not in asyncio.run(told())


def test_a_stream_that_the_drain_cut_says_nothing_of_the_whole(open_story: OpenStory) -> None:
    async def told() -> dict[str, str]:
        async with open_story(budgets=AMPLE) as story:
            story.llm.script = [Delta("Half an ans"), None]
            asked = asyncio.create_task(story.ask(stream=True))
            await story.llm.begun.wait()
            assert await story.app.state.drain.run(0.0) == 1
            assert (await asked).status_code == 200
            return await counted(story)

    assert "total" not in asyncio.run(told())
