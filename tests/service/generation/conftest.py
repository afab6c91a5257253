"""Generators against a scripted server on a real socket."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from indexes.base import Chunk, Hit
from quotable import NotNeeded
from scripted_llm import ScriptedLlm
from service.budget import Deadline
from service.generation.base import Event, Finished, GenerationRequest, LlmCall, Passage
from service.generation.openai import OpenAIGenerator
from service.generation.supervision import Supervision
from service.llm_settings import LlmSettings
from service.telemetry.llm import LlmMetrics


@pytest.fixture
def asked() -> Callable[..., GenerationRequest]:
    """(milliseconds=60_000, passages=3, text="Passage", **call) -> a request."""

    def request(milliseconds: int = 60_000, passages: int = 3, text: str = "Passage", **call: Any) -> GenerationRequest:  # noqa: ANN401
        chunks = [Chunk(f"doc-{n}", 0, f"{text} {n}.", 0, len(text) + 3) for n in range(1, passages + 1)]
        numbered = [Passage(n, Hit(chunk, f"Title {n}", None, 0.9)) for n, chunk in enumerate(chunks, start=1)]
        called = LlmCall(Deadline.after(milliseconds), **call)
        return GenerationRequest("Why?", numbered, 64, None, called, NotNeeded())

    return request


@dataclass
class Opened:
    """A generator and what it counts."""

    generator: OpenAIGenerator
    registry: CollectorRegistry

    async def ask(self, request: GenerationRequest) -> list[Event]:
        events = [event async for event in self.generator.generate(request)]
        return [replace(event, prompt_s=0.0) if isinstance(event, Finished) else event for event in events]

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, {"llm": "main", **labels}) or 0.0

    @property
    def breaker(self) -> str:
        breaker: Any = self.generator.describe()["breaker"]
        return str(breaker["state"])


@pytest.fixture
def opened() -> Callable[..., AbstractAsyncContextManager[Opened]]:
    """(scripted, watched=False, supervision=None, **settings) -> a generator that asks the server."""

    @asynccontextmanager
    async def open_(
        scripted: ScriptedLlm,
        /,
        *,
        watched: bool = False,
        supervision: Supervision | None = None,
        socket: Path | None = None,
        **settings: Any,  # noqa: ANN401
    ) -> AsyncIterator[Opened]:
        registry = CollectorRegistry()
        async with scripted.listening(socket):
            llm = LlmSettings(url=scripted.url, model="tiny", **settings)
            generator = OpenAIGenerator(llm, [scripted.url], supervision, LlmMetrics(registry).of("main"))
            if watched:
                await generator.start()
            try:
                yield Opened(generator, registry)
            finally:
                await generator.close()

    return open_


@pytest.fixture
def opened_pool() -> Callable[..., AbstractAsyncContextManager[Opened]]:
    """(*scripted, watched=False, **settings) -> a generator that asks all of them."""

    @asynccontextmanager
    async def open_(*scripted: ScriptedLlm, watched: bool = False, **settings: Any) -> AsyncIterator[Opened]:  # noqa: ANN401
        registry = CollectorRegistry()
        async with AsyncExitStack() as stack:
            urls = [(await stack.enter_async_context(one.listening())).url for one in scripted]
            llm = LlmSettings(urls=urls, model="tiny", **settings)
            generator = OpenAIGenerator(llm, urls, None, LlmMetrics(registry).of("main"))
            stack.push_async_callback(generator.close)
            if watched:
                await generator.start()
            yield Opened(generator, registry)

    return open_


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits of a server in production would be those of the tests."""
    monkeypatch.setattr("service.generation.canary._FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("service.generation.canary._LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr("service.generation.canary._REST_S", 0.01)
