"""Ladder: the generator that was planned, and what takes its place when it fails before anything was shown."""

import logging
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial

from service.budget import Deadline
from service.content.answer_events import screened
from service.content.base import Screen
from service.errors import DeadlineExceededError, GenerationError, LlmTimeoutError, QuarryError
from service.generation.base import Delta, Event, Finished, GenerationRequest, LlmCall, Passage
from service.generators import Generators
from service.pace import Pace
from service.pacing import Pacing
from service.plan import Rung
from service.question import Question, Retrieval
from service.retriever import Retriever
from service.settings import EXTRACTIVE, Settings
from service.telemetry.timings import Timings

_log = logging.getLogger("quarry.ladder")


@dataclass(frozen=True, slots=True)
class Lost:
    """The answer has to do without something."""

    rung: Rung


class Ladder:
    """Answers by generators, each tried when the one above it failed.

    Args:
        screen: sees what each of them says before anybody else does.
    """

    def __init__(
        self, generators: Generators, retriever: Retriever, pace: Pace, settings: Settings, screen: Screen
    ) -> None:
        self._generators = generators
        self._retriever = retriever
        self._pace = pace
        self._settings = settings
        self._screen = screen

    async def events(
        self, question: Question, retrieval: Retrieval, passages: Sequence[Passage], *, held: bool
    ) -> AsyncGenerator[Event | Lost, None]:
        """Events of the first generator that does not fail, and what was lost; none where there are no passages.

        Args:
            held: hand on nothing before the generator has finished, so that it can fail until then.

        Raises:
            QuarryError: with ``on_failure="fail"``, or after text was already handed on.
        """
        for rung in retrieval.plan.lost if passages else ():
            if rung not in {"rerank", "rewrite"}:
                yield Lost(rung)
        planned = retrieval.plan.generator
        for name in dict.fromkeys((planned, EXTRACTIVE)) if planned else ():
            passages = await self._retriever.present(retrieval.collection, passages)
            if not passages:
                return
            waiting: list[Event | Lost] = []
            handed_on = False
            try:
                # Quotes cannot follow text that was shown: a stream's model need not leave time for them.
                fallback_s = retrieval.plan.fallback_s if held else 0.0
                async with aclosing(self._tried(name, question, retrieval, passages, fallback_s)) as events:
                    async for event in events:
                        if held:
                            waiting.append(event)
                        else:
                            handed_on = True
                            yield event
            except QuarryError as error:
                if handed_on or question.on_failure == "fail":
                    raise
                said = error.outline if isinstance(error, GenerationError) else str(error)
                _log.warning("generator %s failed: %s: %s", name, type(error).__name__, said)
                yield Lost("extractive" if name == EXTRACTIVE else "llm")
                continue
            for event in waiting:
                yield event
            return

    def _tried(
        self, name: str, question: Question, retrieval: Retrieval, passages: Sequence[Passage], fallback_s: float
    ) -> AsyncGenerator[Event | Lost, None]:
        """One generator's events, with the time they take.

        Args:
            fallback_s: of the deadline, that a language model is not to use.
        """
        if name == EXTRACTIVE:
            said = self._quoted(self._request(question, retrieval, passages))
        else:
            said = self._written(name, question, retrieval, passages, fallback_s)
        events, screen = timed(question.timings, said), self._screen.answer(question.request_id)
        return events if screen is None else screened(events, screen)

    async def _quoted(self, request: GenerationRequest) -> AsyncGenerator[Event | Lost, None]:
        start = time.perf_counter()
        try:
            async with aclosing(self._generators[EXTRACTIVE].generate(request)) as events:
                async for event in events:
                    yield event
        except DeadlineExceededError:
            self._pace.extractive.observe_cut(time.perf_counter() - start)
            raise
        self._pace.extractive.observe(time.perf_counter() - start)

    async def _written(
        self, name: str, question: Question, retrieval: Retrieval, passages: Sequence[Passage], fallback_s: float
    ) -> AsyncGenerator[Event | Lost, None]:
        """A language model's events, and what its answer had to do without."""
        plan = retrieval.plan
        request = self._request(question, retrieval, passages[: plan.passages], fallback_s)
        pacing = Pacing(self._settings.budgets, question.timings)
        asked = pacing.paced(self._generators[name].generate(request), request.call.deadline)
        may_be_cut = question.on_failure == "degrade"
        async with aclosing(_cut(asked, request.call.deadline) if may_be_cut else asked) as events:
            async for event in events:
                yield event
                if not isinstance(event, Finished):
                    continue
                if event.left_out or len(request.passages) < len(passages):
                    yield Lost("chunks")
                limit = plan.max_tokens if event.max_tokens is None else event.max_tokens
                if event.reason == "length" and limit < self._wanted_tokens(question):
                    yield Lost("max_tokens")
                if "completion_tokens" in event.usage:
                    self._pace.answer_tokens.observe(event.usage["completion_tokens"])

    def _wanted_tokens(self, question: Question) -> int:
        return question.max_tokens or self._settings.answer.max_tokens

    def _request(
        self, question: Question, retrieval: Retrieval, passages: Sequence[Passage], fallback_s: float = 0.0
    ) -> GenerationRequest:
        plan = retrieval.plan
        return GenerationRequest(
            question=question.text,
            passages=passages,
            max_tokens=plan.max_tokens,
            temperature=question.temperature,
            call=LlmCall(
                question.deadline.earlier(fallback_s),
                question.request_id,
                plan.tenant,
                caller=question.caller,
                trace=question.timings.trace,
            ),
            sentences=self._retriever.sentences(question, retrieval),
            turns=question.turns,
            present=partial(self._retriever.present, retrieval.collection),
            min_confidence=plan.min_confidence,
        )


async def _cut(events: AsyncGenerator[Event, None], deadline: Deadline) -> AsyncGenerator[Event, None]:
    """The events, which end as if ``max_tokens`` were used up where the deadline passes after the first text."""
    has_text = False
    try:
        async with aclosing(events):
            async for event in events:
                has_text = has_text or isinstance(event, Delta)
                yield event
        return
    except LlmTimeoutError as error:
        if not has_text or not deadline.has_passed:
            raise
        _log.info("an answer is cut: %s", error)
    yield Finished("length", max_tokens=0)  # fewer than were wanted, however many that was


async def timed(timings: Timings, events: AsyncGenerator[Event | Lost, None]) -> AsyncGenerator[Event | Lost, None]:
    """The events; the time to the first text is noted, and that of the prompt taken out of what surrounds them."""
    start, first_s = time.perf_counter(), None
    async with aclosing(events):
        async for event in events:
            if first_s is None and isinstance(event, Delta):
                first_s = time.perf_counter() - start
                timings.put("llm_ttft", first_s)
            if isinstance(event, Finished) and event.prompt_s:
                timings.move(event.prompt_s, "llm_total", "prompt")
                timings.trace_stage("prompt", event.prompt_s, ago_s=time.perf_counter() - start - event.prompt_s)
                if first_s is not None:
                    timings.put("llm_ttft", max(0.0, first_s - event.prompt_s))
            yield event
