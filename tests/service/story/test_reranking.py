"""A cross-encoder that does not come back: the reply goes without it, and nothing of it is left."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import numpy as np
import pytest

from models.base import Finished, RerankerInfo, TokenPair
from models.cross_encoder import CrossEncoderReranker
from service.generation.base import Expectation
from service.reordering import Reorderer
from service.scheduling.job import Lane

PATIENCE_S = 200.0
SERVED = {"model": "held"}


class OpenStory(Protocol):
    def __call__(self, embedder: object = None, **settings: object) -> AbstractAsyncContextManager[Any]: ...


class Held:
    """Likes all the same; once ``gate`` is closed its forwards wait for it."""

    def __init__(self) -> None:
        self.info = RerankerInfo("held", "held-1", 256, "cpu", "float32", "the only one")
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()

    def tokenize(self, query: str, documents: Sequence[str]) -> list[TokenPair]:
        words = [len(query.split()) + len(text.split()) for text in documents]
        return [TokenPair([0] * count, [0] * count) for count in words]

    def launch(self, batch: Sequence[TokenPair]) -> Finished:
        if not self.gate.is_set():
            self.entered.set()
            assert self.gate.wait(PATIENCE_S)
        return Finished(sum(map(len, batch)), np.zeros((len(batch), 1), np.float32))

    def warm_up(self, tokens: int) -> int:
        return 0 * tokens


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    reranker = Held()
    monkeypatch.setattr(CrossEncoderReranker, "load", lambda _, **__: reranker)
    yield reranker
    reranker.gate.set()


def run(open_story: OpenStory, held: Held, scenario: Any, **settings: object) -> None:  # noqa: ANN401
    """``scenario(story)`` on a loop of its own; afterwards nothing waits and no task is left."""

    async def told() -> None:
        async with open_story(**{"rerank": SERVED, "budgets": {"rerank_ms": None}} | settings) as story:
            tasks = asyncio.all_tasks()
            await scenario(story)
            held.gate.set()
            await story.settled(tasks)
            assert [story.app.state.services.engine.queued_tokens(lane) for lane in Lane] == [0, 0]
            assert story.llm.open == 0
            assert (await story.ask()).json()["degraded"] == []

    asyncio.run(told())


def test_it_is_left_out_in_time_for_the_answer(open_story: OpenStory, held: Held) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        assert (await story.ask()).json()["degraded"] == []
        held.gate.clear()
        reply = (await story.ask()).json()
        assert held.entered.is_set()
        assert (reply["status"], reply["degraded"], reply["answer"]) == ("partial", ["rerank"], "Yes [1].")
        assert [warning["code"] for warning in reply["warnings"]] == ["rerank_skipped"]
        assert reply["timings_ms"]["rerank"] >= 1999
        assert len(story.llm.requests) == 2

    run(open_story, held, scenario, budgets={"rerank_ms": 2000})


def test_it_leaves_the_time_that_an_answer_takes(open_story: OpenStory, held: Held) -> None:
    """Without a budget of its own: the deadline is that of the request less what the answer is expected to take."""

    async def scenario(story: Any) -> None:  # noqa: ANN401
        await story.ask()
        story.llm.expectation = Expectation(first_token_s=2.0, prompt_token_s=0.0, token_s=0.0)
        held.gate.clear()
        reply = (await story.ask(deadline_ms=4000)).json()
        assert (reply["degraded"], reply["answer"]) == (["rerank"], "Yes [1].")
        assert reply["timings_ms"]["rerank"] < 2000

    run(open_story, held, scenario)


def test_it_goes_first_where_time_is_short(open_story: OpenStory, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        await story.ask()
        story.llm.expectation = Expectation(first_token_s=3.0, prompt_token_s=0.0, token_s=0.0)
        held.gate.clear()  # it is not even asked
        with monkeypatch.context() as slow:
            slow.setattr(Reorderer, "least_s", lambda *_: 2.0)
            reply = (await story.ask(deadline_ms=5000)).json()
            told = await story.told(deadline_ms=5000)
        assert (reply["degraded"], reply["answer"]) == (["rerank"], "Yes [1].")
        assert not held.entered.is_set()
        assert "rerank" not in reply["timings_ms"]
        assert (told[-1][0], told[-1][1]["degraded"]) == ("done", ["rerank"])
        held.gate.set()
        story.llm.expectation = None

    run(open_story, held, scenario)


def test_who_hangs_up_meanwhile_leaves_nothing_behind(open_story: OpenStory, held: Held) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        held.gate.clear()
        question = {"query": "When do the honey bees sleep?", "collection": "docs"}
        asking = asyncio.create_task(story.asked_and_left("/v1/query", question))
        assert await asyncio.to_thread(held.entered.wait, PATIENCE_S)
        story.llm.begun.set()
        assert (await asking)[0]["status"] == 499
        assert story.llm.requests == []

    run(open_story, held, scenario)
