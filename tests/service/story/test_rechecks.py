"""Documents that go between the search and the prompt, and indexes that claim what they may not."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest

from indexes.attributes import Attributes
from loadtests.fake_vllm.server import FakeVllm, fake_vllm
from service.access.keys import Keys
from service.budget import Deadline
from service.errors import LlmUnavailableError
from service.generation.base import Event, GenerationRequest, LlmCall
from service.generation.work import Work
from service.ladder import Ladder
from service.question import Retrieval
from tenants.asking import ADMIN, RED, made

PATIENCE_S = 200.0


class OpenStory(Protocol):
    def __call__(self, **settings: object) -> AbstractAsyncContextManager[Any]: ...


BEES = "/v1/collections/docs/documents/bees"
OAK = "The honey bees have a secret: the queen sleeps below the oak."


def run(open_story: OpenStory, scenario: Any, **settings: object) -> None:  # noqa: ANN401
    async def told() -> None:
        async with open_story(**settings) as story:
            await story.http.put("/v1/collections/docs/documents/secret", json={"text": OAK, "title": "Oak"})
            await scenario(story)

    asyncio.run(told())


def after_the_search(monkeypatch: pytest.MonkeyPatch, story: Any, *acts: tuple[str, dict[str, Any] | None]) -> None:  # noqa: ANN401
    """Documents are deleted, or written anew, once the hits of a question are known and before they are used."""
    events = Ladder.events

    async def acting(self: Ladder, question: Any, retrieval: Retrieval, *args: Any, held: bool) -> AsyncGenerator[Any]:  # noqa: ANN401
        for url, body in acts:
            await (story.http.delete(url) if body is None else story.http.put(url, json=body))
        async for event in events(self, question, retrieval, *args, held=held):
            yield event

    monkeypatch.setattr(Ladder, "events", acting)


async def failed(story: Any, cause: str) -> float:  # noqa: ANN401
    metrics = (await story.http.get("/metrics")).text
    found = [
        line for line in metrics.splitlines() if line.startswith(f'quarry_rechecks_failed_total{{cause="{cause}"}}')
    ]
    return float(found[0].split()[-1]) if found else 0.0


@pytest.mark.parametrize("stream", [False, True])
def test_what_was_deleted_since_the_search_is_in_no_prompt(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        found = (await story.ask("/v1/search")).json()["chunks"]
        assert {chunk["document_id"] for chunk in found} == {"bees", "secret"}
        after_the_search(monkeypatch, story, ("/v1/collections/docs/documents/secret", None))
        await story.ask(stream=stream)
        (request,) = story.llm.requests
        assert [passage.hit.chunk.document_id for passage in request.passages] == ["bees"]
        assert await failed(story, "deleted") == 1

    run(open_story, scenario)


def test_what_was_replaced_since_the_search_is_in_no_prompt(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        there = "/v1/collections/docs/documents/secret"
        after_the_search(monkeypatch, story, (there, {"text": "The honey bees have no secret."}))
        await story.ask()
        assert [passage.hit.chunk.document_id for passage in story.llm.requests[0].passages] == ["bees"]

    run(open_story, scenario)


def test_with_nothing_left_no_model_is_asked(open_story: OpenStory, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        after_the_search(monkeypatch, story, (BEES, None), ("/v1/collections/docs/documents/secret", None))
        body = (await story.ask()).json()
        assert (body["status"], body["citations"], story.llm.requests) == ("no_answer", [], [])

    run(open_story, scenario)


def test_what_takes_a_failed_models_place_is_given_nothing_that_went_meanwhile(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        async def failing(request: GenerationRequest) -> AsyncGenerator[Event]:
            await story.http.delete("/v1/collections/docs/documents/secret")
            raise LlmUnavailableError("it is gone")
            yield

        monkeypatch.setattr(story.llm, "generate", failing)
        body = (await story.ask()).json()
        assert body["degraded"] == ["llm"]
        assert {citation["document_id"] for citation in body["citations"]} == {"bees"}
        assert "oak" not in body["answer"]

    run(open_story, scenario)


@pytest.fixture
def fake() -> Iterator[FakeVllm]:
    with fake_vllm() as fake:
        yield fake


def prompts(fake: FakeVllm) -> list[str]:
    """What it was asked to answer; the canary asks for one token."""
    return [sent["messages"][-1]["content"] for sent in fake.state()["requests"] if sent.get("stream")]


@pytest.mark.parametrize("left", ["one", "none"])
def test_it_is_looked_at_again_when_the_model_servers_queue_was_waited_for(
    open_story: OpenStory, fake: FakeVllm, left: str
) -> None:
    """The question waits for the only slot; what is deleted meanwhile is not sent."""
    gone = ["secret"] if left == "one" else ["secret", "bees"]

    async def scenario(story: Any) -> None:  # noqa: ANN401
        pool = story.app.state.services.pools["main"]
        async with pool.admitted(LlmCall(Deadline.after(200_000)), Work(0, 1)):
            waiting = asyncio.create_task(story.ask())
            async with asyncio.timeout(PATIENCE_S):
                while not pool.describe()["queued"]:  # noqa: ASYNC110  nobody is told of a waiter
                    await asyncio.sleep(0.01)
            for name in gone:
                await story.http.delete(f"/v1/collections/docs/documents/{name}")
        body = (await waiting).json()
        sent = prompts(fake)
        assert "oak" not in "".join(sent)
        assert len(sent) == (left == "one")
        assert body["status"] == ("ok" if left == "one" else "no_answer")
        assert await failed(story, "deleted") == len(gone)

    llm = {"main": {"url": fake.url, "model": fake.app.engine.options.model, "max_streams": 1}}
    run(open_story, scenario, url=fake.url, llm=llm, budgets={"total_ms": 200_000})


@pytest.mark.parametrize("route", ["/v1/search", "/v1/query"])
def test_an_index_that_lets_everything_through_shows_nothing_more(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, route: str
) -> None:
    """Neither in the reply, nor in its explanation, nor in the prompt; and its log has no word of it."""
    monkeypatch.setattr(Attributes, "mask", lambda _self, _filter, size: np.ones(size, dtype=bool))

    async def scenario(story: Any) -> None:  # noqa: ANN401
        named = {"text": OAK, "title": "Oak", "metadata": {"of": "others"}}
        await story.http.put("/v1/collections/docs/documents/secret", json=named)
        wanted = {"type": "ne", "key": "of", "value": "others"}
        reply = await story.ask(route, filters=wanted, explain=True, top_k=1)
        assert "secret" not in reply.text
        assert "oak" not in reply.text.lower()
        assert all("oak" not in str(request.passages).lower() for request in story.llm.requests)
        assert await failed(story, "filter") >= 1
        faults = [record.getMessage() for record in caplog.records if record.name == "quarry.rechecks"]
        assert faults
        assert "its store refuses: 1 filter" in faults[0]
        assert "queen" not in caplog.text

    run(open_story, scenario)


@pytest.mark.parametrize("route", ["/v1/search", "/v1/query"])
def test_an_index_that_lets_everything_through_shows_a_key_its_own(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, route: str
) -> None:
    """The request itself has no filter: that of its key alone holds."""
    monkeypatch.setattr(Attributes, "mask", lambda _self, _filter, size: np.ones(size, dtype=bool))
    key = made(Keys(tmp_path / "data"), "query", filter_=RED)

    async def scenario(story: Any) -> None:  # noqa: ANN401
        story.http.headers["x-api-key"] = ADMIN
        for name, text, tenant in (("bees", "The honey bees sleep.", "red"), ("secret", OAK, "blue")):
            body = {"text": text, "title": f"Of {tenant}", "metadata": {"tenant": tenant}}
            assert (await story.http.put(f"/v1/collections/docs/documents/{name}", json=body)).is_success
        story.http.headers["x-api-key"] = key
        reply = await story.ask(route, explain=True)
        assert [chunk["document_id"] for chunk in reply.json()["chunks"]] == ["bees"]
        assert not any(word in reply.text.lower() for word in ("secret", "oak", "blue"))
        assert all("oak" not in str(request.passages).lower() for request in story.llm.requests)
        story.http.headers["x-api-key"] = ADMIN
        assert await failed(story, "required") >= 1

    run(open_story, scenario, access={"admin_key": ADMIN})


def test_memory_that_lost_track_of_the_store_answers_by_the_store(
    open_story: OpenStory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(story: Any) -> None:  # noqa: ANN401
        collection = story.app.state.services.library.get("docs")
        monkeypatch.setattr(collection._live, "is_behind", True)
        after_the_search(monkeypatch, story, ("/v1/collections/docs/documents/secret", None))
        await story.ask()
        assert [passage.hit.chunk.document_id for passage in story.llm.requests[0].passages] == ["bees"]

    run(open_story, scenario)
