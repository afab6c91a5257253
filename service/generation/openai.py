"""OpenAIGenerator: any server that speaks OpenAI's chat protocol, vLLM first, over TCP or a Unix socket."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from prometheus_client import CollectorRegistry

from service.errors import PromptTooLongError
from service.generation.base import Event, Expectation, Finished, GenerationRequest, LlmCall, Priority, Turn
from service.generation.chat_stream import Piece
from service.generation.citations import CitationParser
from service.generation.model_server import ModelServer
from service.generation.prompt import NO_ANSWER, build_messages, fitting
from service.generation.rewrite import rewrite_messages
from service.generation.supervision import Supervision
from service.llm_settings import LlmSettings
from service.telemetry.llm import LlmMeters, LlmMetrics

# Rooms that a prompt is fitted into before it is given up, each smaller by this when the server does not say what it
# holds: the last is enough for text of one character a token where three were expected.
_ROOMS = 4
_SMALLER = 0.6
# A question is a sentence or two, and the same words should give the same search.
_REWRITE_TOKENS = 128
_REWRITE_TEMPERATURE = 0.0


class OpenAIGenerator:
    """Streams one chat completion an answer.

    Args:
        url: where the server listens.
        supervision: what runs the server; None when it is not ours.
        meters: None counts into nothing.
    """

    def __init__(
        self,
        settings: LlmSettings,
        url: str,
        supervision: Supervision | None = None,
        meters: LlmMeters | None = None,
    ) -> None:
        self._settings = settings
        self._url = url
        unread = LlmMetrics(CollectorRegistry()).of(settings.model)
        self._server = ModelServer(settings, url, supervision or Supervision(), meters or unread)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events; citations are whole passages. A prompt too long for the server loses passages."""
        async with self._server.admitted(request.call):
            room = self._server.context
            for tries_left in reversed(range(_ROOMS)):
                try:
                    async with aclosing(self._written(request, room)) as events:
                        async for event in events:
                            yield event
                    return
                except PromptTooLongError as error:
                    if not tries_left:
                        raise
                    room = self._smaller(room, error)

    async def _written(self, request: GenerationRequest, room: int) -> AsyncGenerator[Event, None]:
        began = time.perf_counter()
        # An answer may take half of the context: the rest belongs to the passages.
        max_tokens = min(request.max_tokens, room // 2)
        passages = fitting(request.question, request.passages, room, max_tokens)
        messages = build_messages(request.question, passages)
        prompt_s = time.perf_counter() - began
        parser = CitationParser({passage.number: passage for passage in passages})
        texts, whole = list[str](), Piece()
        async with aclosing(self._server.stream(messages, max_tokens, request.temperature, request.call)) as pieces:
            async for piece in pieces:
                texts.append(piece.text)
                whole = whole.followed_by(piece)
                for event in parser.feed(piece.text):
                    yield event
        for event in parser.flush():
            yield event
        yield Finished(
            reason=whole.finish or "stop",
            abstained="".join(texts).strip() == NO_ANSWER,
            usage=whole.usage,
            invalid_markers=parser.invalid,
            left_out=len(request.passages) - len(passages),
            timings=whole.timings,
            prompt_s=prompt_s,
        )

    def _smaller(self, room: int, error: PromptTooLongError) -> int:
        """What the server says it holds; where that is not the trouble, the tokens were guessed wrong."""
        if error.context is not None and error.context < room:
            self._server.shrink_context(error.context)
            return error.context
        return int(room * _SMALLER)

    @property
    def trouble(self) -> str | None:
        """That the last requests failed, or what the process that runs the server says."""
        return self._server.trouble

    def expect(self) -> Expectation | None:
        """From the last answers; None before a handful."""
        return self._server.expect()

    async def standalone(self, question: str, turns: Sequence[Turn], call: LlmCall) -> str:
        """The question as it would be asked without the turns before it; ahead of the answers in every queue."""
        urgent = replace(call, priority=min(call.priority, Priority.REWRITE))
        messages = rewrite_messages(question, turns)
        async with (
            self._server.admitted(urgent),
            aclosing(self._server.stream(messages, _REWRITE_TOKENS, _REWRITE_TEMPERATURE, urgent)) as pieces,
        ):
            return "".join([piece.text async for piece in pieces]).strip()

    async def start(self) -> None:
        """Begin to watch the server; it need not be there yet."""
        await self._server.start()

    async def close(self) -> None:
        """End the watch and the connections."""
        await self._server.close()

    def describe(self) -> dict[str, object]:
        """Kind, model, what the last request met and what the server is capable of now."""
        return {"kind": "openai", "url": self._url, "model": self._settings.model, **self._server.describe()}
