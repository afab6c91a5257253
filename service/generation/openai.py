"""OpenAIGenerator: any server that speaks OpenAI's chat protocol, vLLM first, over TCP or a Unix socket."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

from prometheus_client import CollectorRegistry

from service.errors import PromptTooLongError
from service.generation.abstention import Abstention
from service.generation.admitted import Admitted
from service.generation.base import Event, Expectation, Finished, GenerationRequest, Heard, LlmCall, Priority, Turn
from service.generation.chat_body import Chat
from service.generation.chat_stream import Piece
from service.generation.citations import CitationParser
from service.generation.fitting import Fitted, fit
from service.generation.rewrite import REWRITE_TOKENS, fit_rewrite, rewrite_messages, standalone_question
from service.generation.served_tokens import ServedTokens
from service.generation.server_pool import ServerPool
from service.generation.supervision import Supervision
from service.generation.tokens import TokenCounter, TokenEstimate, estimated_tokens
from service.generation.work import Work
from service.invisible import visible
from service.llm_settings import LlmSettings, server_name
from service.spending import Spent, uncounted
from service.telemetry.llm import LlmMeters, LlmMetrics

# Rooms that a prompt is fitted into before it is given up, each smaller by this when the server does not say what it
# holds: the last is enough for text of one character a token where three were expected.
_ROOMS = 4
_SMALLER = 0.6
# The same words should give the same search.
_REWRITE_TEMPERATURE = 0.0


class OpenAIGenerator:
    """Streams one chat completion an answer.

    Args:
        urls: where its servers listen.
        supervision: what runs the server; None when it is not ours.
        meters: None counts into nothing.
        spent: told of the tokens of each answer and each rewritten question.
        tokens: counts prompts in this process; None asks vLLM, or estimates for other servers.

    Attributes:
        pool: the servers.
    """

    def __init__(
        self,
        settings: LlmSettings,
        urls: Sequence[str],
        supervision: Supervision | None = None,
        meters: LlmMeters | None = None,
        tokens: TokenCounter | None = None,
        spent: Spent = uncounted,
    ) -> None:
        self._settings = settings
        self._urls = urls
        self._tokens = tokens
        unread = LlmMetrics(CollectorRegistry()).of(settings.model)
        self.pool = ServerPool(settings, urls, supervision, meters or unread, spent)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Event, None]:
        """The answer's events; citations are whole passages. A prompt too long for the server loses passages.

        Without a passage that is still there nothing is asked: a model would answer from what it knows.
        """
        async with self.pool.admitted(request.call, _work(request)) as admitted:
            room = admitted.context
            for tries_left in reversed(range(_ROOMS)):
                began = time.perf_counter()
                request = replace(request, passages=await request.present(request.passages))
                if not request.passages:
                    yield Finished("stop", abstained=True)
                    return
                fitted = await fit(request, room, self._counter(admitted))
                prompt_s = time.perf_counter() - began
                try:
                    async with aclosing(self._written(admitted, fitted, request, prompt_s)) as events:
                        async for event in events:
                            yield event
                    return
                except PromptTooLongError as error:
                    if not tries_left:
                        raise
                    room = _smaller(admitted, room, fitted, error)

    async def _written(
        self, admitted: Admitted, fitted: Fitted, request: GenerationRequest, prompt_s: float
    ) -> AsyncGenerator[Event, None]:
        parser = CitationParser({passage.number: passage for passage in fitted.passages})
        abstention, whole = Abstention(), Piece()
        chat = Chat(fitted.messages, fitted.max_tokens, request.temperature, request.call)
        stream = admitted.stream(chat, lambda: abstention.abstained)  # nothing of what follows a refusal is shown
        async with aclosing(stream) as pieces:
            async for piece in pieces:
                whole = whole.followed_by(piece)
                shown: list[Event] = list(parser.feed(abstention.feed(visible(piece.text))))
                for event in shown or ([Heard()] if piece.is_sign else []):
                    yield event
        for event in [*parser.feed(abstention.flush()), *parser.flush()]:
            yield event
        yield Finished(
            reason=whole.finish or "stop",
            abstained=abstention.abstained,
            usage=whole.usage,
            invalid_markers=parser.invalid,
            left_out=fitted.left_out,
            max_tokens=fitted.max_tokens if fitted.max_tokens < request.max_tokens else None,
            timings=whole.timings,
            prompt_s=prompt_s,
        )

    @property
    def trouble(self) -> str | None:
        """That the last requests failed, or what the process that runs the server says."""
        return self.pool.trouble

    def expect(self) -> Expectation | None:
        """From the last answers; None before a handful, and a minute after the last."""
        return self.pool.expect()

    async def standalone(self, question: str, turns: Sequence[Turn], call: LlmCall) -> str:
        """The question as it would be asked without the turns before it; ahead of the answers in every queue."""
        urgent = replace(call, priority=min(call.priority, Priority.REWRITE))
        work = Work(estimated_tokens(rewrite_messages(question, turns)), REWRITE_TOKENS)
        async with self.pool.admitted(urgent, work) as admitted:
            messages = await fit_rewrite(question, turns, admitted.context, self._counter(admitted))
            if messages is None:
                return question
            stream = admitted.stream(Chat(messages, REWRITE_TOKENS, _REWRITE_TEMPERATURE, urgent))
            async with aclosing(stream) as pieces:
                return standalone_question("".join([piece.text async for piece in pieces]), question)

    def _counter(self, admitted: Admitted) -> TokenCounter:
        """Who counts prompts: a tokenizer here, else vLLM itself; any other server counts for nobody."""
        if self._tokens is not None:
            return self._tokens
        return ServedTokens(admitted) if self._settings.is_vllm else TokenEstimate()

    async def start(self) -> None:
        """Begin to watch the servers; they need not be there yet."""
        await self.pool.start()

    async def close(self) -> None:
        """End the watch and the connections."""
        await self.pool.close()

    def describe(self) -> dict[str, object]:
        """Kind, model, what the last request met and what the server is capable of now."""
        url = self._urls[0] if len(self._urls) == 1 else ", ".join(map(server_name, self._urls))
        return {"kind": "openai", "url": url, "model": self._settings.model, **self.pool.describe()}


def _work(request: GenerationRequest) -> Work:
    """About what it will ask, before its prompt is made."""
    texts = [request.question, *(passage.hit.chunk.text for passage in request.passages)]
    texts += [turn.text for turn in request.turns]
    return Work(estimated_tokens([{"content": text} for text in texts]), request.max_tokens)


def _smaller(admitted: Admitted, room: int, fitted: Fitted, error: PromptTooLongError) -> int:
    """What the server says it holds; where it says nothing new, less than what it was sent."""
    if error.context is not None and error.context < room:
        admitted.shrink_context(error.context)
        return error.context
    return int(min(room, estimated_tokens(fitted.messages) + fitted.max_tokens) * _SMALLER)
