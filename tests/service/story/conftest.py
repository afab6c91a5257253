"""The application and a scripted language model on one event loop, where a test sees every task."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from models.base import Embedder
from models.hashing import HashingEmbedder
from scripted_memory import ScriptedMemory
from service.app import Outside, create_app
from service.generation.base import Delta, Event, Expectation, Finished, GenerationRequest, LlmCall, Turn
from service.settings import Settings

PATIENCE_S = 200.0
NOBODY = "http://127.0.0.1:9"
TEXT = "The honey bees of the northern meadow sleep in winter. In spring the bees wake up and visit the clover."


class ScriptedGenerator:
    """Says what it is told to, and notes what became of it.

    Attributes:
        script: events, errors to raise, and None to say nothing more until it is cancelled.
        rewritten: what it makes of a question; an error to raise, or None for ever.
        open: generations that are under way.
    """

    def __init__(self, *script: Event | Exception | None) -> None:
        self.script: Sequence[Event | Exception | None] = script or [Delta("Yes [1]."), Finished("stop")]
        self.rewritten: str | Exception | None = "honey bees in winter"
        self.trouble: str | None = None
        self.expectation: Expectation | None = None
        self.requests: list[GenerationRequest] = []
        self.rewrites: list[tuple[str, Sequence[Turn], LlmCall]] = []
        self.open = 0
        self.begun = asyncio.Event()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        self.requests.append(request)
        self.open += 1
        try:
            for step in self.script:
                if step is None:
                    self.begun.set()
                    await asyncio.Event().wait()
                elif isinstance(step, Exception):
                    raise step
                else:
                    yield step
        finally:
            self.open -= 1

    async def standalone(self, question: str, turns: Sequence[Turn], call: LlmCall) -> str:
        self.rewrites.append((question, turns, call))
        if self.rewritten is None:
            await asyncio.Event().wait()
        if isinstance(self.rewritten, Exception):
            raise self.rewritten
        return str(self.rewritten)

    def expect(self) -> Expectation | None:
        return self.expectation

    def describe(self) -> dict[str, object]:
        return {"kind": "scripted", "state": "ready"}

    async def start(self) -> None:
        """Nothing to watch."""

    async def close(self) -> None:
        """Nothing to release."""


@dataclass
class Story:
    """An application that runs, its client, and its language model ``main``."""

    app: FastAPI
    http: httpx.AsyncClient
    llm: ScriptedGenerator = field(default_factory=ScriptedGenerator)

    async def ask(self, route: str = "/v1/query", **body: Any) -> httpx.Response:  # noqa: ANN401
        """A question about the bees; ``query=None`` leaves the question out."""
        asked = {"query": "When do the honey bees sleep?", "collection": "docs"} | body
        return await self.http.post(route, json={name: value for name, value in asked.items() if value is not None})

    async def told(self, **body: Any) -> list[tuple[str, dict[str, Any]]]:  # noqa: ANN401
        """The events of a stream."""
        reply = await self.ask(stream=True, **body)
        assert reply.headers["content-type"].startswith("text/event-stream"), reply.text
        frames = [frame.split("\n") for frame in reply.text.split("\n\n") if frame.startswith("event: ")]
        return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]

    async def asked_and_left(self, path: str, body: object) -> list[dict[str, Any]]:
        """What a client is sent that asks, and leaves as soon as the language model says no more."""
        sent: list[dict[str, Any]] = []
        incoming = iter([{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}])

        async def receive() -> dict[str, Any]:
            message = next(incoming, None)
            if message is None:
                await self.llm.begun.wait()
                return {"type": "http.disconnect"}
            return message

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
            "headers": [(b"content-type", b"application/json")], "client": ("127.0.0.1", 1), "server": ("quarry", 80),
        }  # fmt: skip
        await self.app(scope, receive, send)
        return sent

    async def settled(self, tasks: set["asyncio.Task[Any]"]) -> None:
        """No task runs but those that did before, and this one."""
        async with asyncio.timeout(PATIENCE_S):
            while asyncio.all_tasks() - tasks - {asyncio.current_task()}:  # noqa: ASYNC110  tasks announce no end
                await asyncio.sleep(0)


OpenStory = Callable[..., AbstractAsyncContextManager[Story]]


@pytest.fixture
def open_story(tmp_path: Path) -> OpenStory:
    """(embedder=..., url=..., **settings) -> a Story with one document about bees in ``docs``.

    With ``url`` the language model is the server there, and no scripted one.
    """

    @asynccontextmanager
    async def opened(embedder: Embedder | None = None, url: str = NOBODY, **settings: object) -> AsyncIterator[Story]:
        llm = {"main": {"url": url, "model": "tiny"}}
        outside = Outside(embedder or HashingEmbedder(), memory=ScriptedMemory())
        app = create_app(Settings(data_dir=tmp_path / "data", **{"llm": llm} | settings), outside)
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as http,
        ):
            story = Story(app, http)
            if url == NOBODY:
                app.state.services.generators["main"] = story.llm
            put = await http.put("/v1/collections/docs/documents/bees", json={"text": TEXT, "title": "Bees"})
            assert put.is_success or "access" in settings, "a scenario with keys puts what it needs"
            yield story

    return opened
