"""Rag: the story of one question, from its text to an answer with citations."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from service.answer import Answer, Citation
from service.backlog import Backlog
from service.content.base import Screen
from service.conversation import Conversation
from service.generation.base import Cited, Delta, Finished
from service.ladder import Ladder, Lost
from service.planner import Planner
from service.question import Question, Retrieval
from service.retriever import Retriever


class Rag:
    """Plans, retrieves and answers.

    Args:
        screen: has seen every question already; it sees what a model makes of one too.
        backlog: of searches.
    """

    def __init__(
        self,
        planner: Planner,
        conversation: Conversation,
        retriever: Retriever,
        ladder: Ladder,
        screen: Screen,
        backlog: Backlog,
    ) -> None:
        self._planner = planner
        self._conversation = conversation
        self._retriever = retriever
        self._ladder = ladder
        self._screen = screen
        self._backlog = backlog

    async def retrieve(self, question: Question) -> Retrieval:
        """Fix what is run for the question, find the text to search for, and search.

        Raises:
            InvalidRequestError, LlmUnavailableError: see ``Planner.plan``.
            ContentBlockedError: the question is refused as a model rewrote it, with what was said before.
            CollectionNotFoundError, CollectionConflictError, OverloadedError, EmbedderUnavailableError,
            DeadlineExceededError: naming the stage.
        """
        plan = self._planner.plan(question)
        self._backlog.check(question.caller, question.deadline.remaining())  # a model may be asked before the search
        text, plan = await self._conversation.search_text(question, plan)
        if text != question.text:
            (text,) = self._screen.question([text], "messages", question.request_id)
        self._backlog.check(question.caller, question.deadline.remaining())
        with self._backlog.joined(question.caller):
            retrieval = await self._retriever.retrieve(question, text, plan)
        question.timings.counts["hits"] = len(retrieval.hits)
        return retrieval

    async def stream(self, question: Question, retrieval: Retrieval) -> AsyncGenerator[Delta | Citation | Answer, None]:
        """The answer as it is written; the last item is the whole of it.

        Raises:
            QuarryError: with ``on_failure="fail"``, or after text was already handed out.
        """
        async with aclosing(self._told(question, retrieval, held=False)) as items:
            async for item in items:
                yield item

    async def answer(self, question: Question, retrieval: Retrieval) -> Answer:
        """The whole answer. A language model that fails in mid-answer is replaced here, as nothing was shown yet.

        Raises:
            QuarryError: with ``on_failure="fail"``.
        """
        async with aclosing(self._told(question, retrieval, held=True)) as items:
            *_, last = [item async for item in items]
        assert isinstance(last, Answer)  # noqa: S101  what _told promises
        return last

    async def _told(
        self, question: Question, retrieval: Retrieval, *, held: bool
    ) -> AsyncGenerator[Delta | Citation | Answer, None]:
        """Events of the generators with citations made whole, then the Answer that sums them up."""
        texts: list[str] = []
        citations: list[Citation] = []
        degraded = list(retrieval.degraded)
        finished = Finished("stop", abstained=True)
        passages = retrieval.chosen.passages
        hits = {passage.number: passage.hit for passage in passages}
        with question.timings.stage("llm_total"):
            async with aclosing(self._ladder.events(question, retrieval, passages, held=held)) as events:
                async for event in events:
                    match event:
                        case Delta(text):
                            texts.append(text)
                            yield event
                        case Cited():
                            citations.append(Citation.of(event, hits[event.number]))
                            yield citations[-1]
                        case Finished():
                            finished = event
                        case Lost(rung):
                            degraded.append(rung)
        answer = Answer.of("".join(texts), citations, finished, degraded)
        question.timings.counts.update(answer.counts)
        yield answer
