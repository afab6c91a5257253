"""One answer on its way to the client: the same story whatever form it has on the wire."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from fastapi import Request

from service.answer import Answer, Citation
from service.api import problems
from service.api.hang_up import unless_hung_up
from service.api.services import Services
from service.api.sse import EventStream, failure
from service.generation.base import Delta
from service.question import Question, Retrieval


class WireForm(Protocol):
    """How a streamed answer is written; what has nothing to say is empty."""

    def opening(self) -> bytes:
        """Before the first text."""

    def text(self, text: str) -> bytes:
        """The next piece of the answer."""

    def citation(self, citation: Citation) -> bytes:
        """A marker in the text so far."""

    def closing(self, answer: Answer) -> bytes:
        """The end of an answer that has one."""


async def answered(request: Request, services: Services, question: Question, retrieval: Retrieval) -> Answer:
    """The whole answer, counted.

    Raises:
        ClientDisconnect: nobody waits for it any more; the work for it has ended.
        QuarryError: as ``Rag.answer``.
    """
    answer = await unless_hung_up(request, services.rag.answer(question, retrieval))
    _count(answer, services)
    return answer


def streamed(
    request: Request, services: Services, form: WireForm, question: Question, retrieval: Retrieval
) -> EventStream:
    """The answer as it is written, or what became of it."""
    frames = _frames(request, services, form, question, retrieval)
    return EventStream(frames, question.deadline, opening=form.opening)


async def _frames(
    request: Request, services: Services, form: WireForm, question: Question, retrieval: Retrieval
) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(services.rag.stream(question, retrieval)) as items:
            async for item in items:
                match item:
                    case Delta(text):
                        yield form.text(text)
                    case Citation():
                        if frame := form.citation(item):
                            yield frame
                    case Answer():
                        _count(item, services)
                        yield form.closing(item)
    except Exception as error:  # the edge of a stream: its status is sent, so the failure travels as an event
        body = problems.describe(request, error)
        question.timings.has_failed, question.timings.problem = True, body["error"]["code"]
        services.metrics.problems.labels(body["error"]["code"]).inc()
        yield failure(request, body)


def _count(answer: Answer, services: Services) -> None:
    services.metrics.answers.labels(answer.status).inc()
    services.metrics.citations_invalid.inc(answer.invalid_markers)
    count_lost(answer.degraded, services)


def count_lost(degraded: Sequence[str], services: Services) -> None:
    """Count the rungs that a reply was made without."""
    for rung in degraded:
        services.metrics.degraded.labels(rung).inc()
