"""POST /v1/query and POST /v1/search."""

import uuid

from fastapi import APIRouter, Request

from service.answer import Answer, Citation
from service.api.access import needs
from service.api.answering import answered, count_lost, streamed
from service.api.asked import question_of, search_of
from service.api.context import timings_of
from service.api.description.failing import ANSWERING, SEARCHING, fails_with
from service.api.description.stream import ANSWER_STREAM
from service.api.hang_up import unless_hung_up
from service.api.route import NativeRoute
from service.api.schemas.events import DoneEvent, RetrievalEvent
from service.api.schemas.explanation import Explanation
from service.api.schemas.question import (
    ChunkReply,
    CitationReply,
    QueryBody,
    QueryReply,
    SearchBody,
    SearchReply,
    WarningReply,
)
from service.api.services import ServicesOf
from service.api.sse import EventStream, event
from service.errors import InvalidRequestError
from service.question import Question, Retrieval

router = APIRouter(route_class=NativeRoute, prefix="/v1", tags=["questions"], dependencies=[needs("query")])


@router.post("/search", openapi_extra=fails_with(*SEARCHING))
async def search(body: SearchBody, request: Request, services: ServicesOf) -> SearchReply:
    """Chunks nearest to the query, best first."""
    question = await search_of(body, request, services)
    retrieval = await unless_hung_up(request, services.rag.retrieve(question))
    return SearchReply(
        id=_id(),
        chunks=[ChunkReply.of(hit) for hit in retrieval.hits],
        warnings=WarningReply.all_of(retrieval),
        timings_ms=timings_of(request).milliseconds(),
        index_version=retrieval.index_version,
        explain=_explained(question, retrieval),
    )


@router.post(
    "/query",
    response_model=QueryReply,
    responses={200: ANSWER_STREAM},
    openapi_extra=fails_with(*ANSWERING),
)
async def query(body: QueryBody, request: Request, services: ServicesOf) -> QueryReply | EventStream:
    """An answer from the documents, with citations.

    With `stream` it comes as server-sent events. A failed stage is named in `degraded`, or is an error with
    `on_failure: fail`; it is never a `no_answer`.
    """
    if body.stream and not body.generate:
        raise InvalidRequestError("stream is true and generate is false: there is nothing to stream", param="stream")
    question = await question_of(body, request, services)
    retrieval = await unless_hung_up(request, services.rag.retrieve(question))
    if body.stream:
        return streamed(request, services, QueryEvents(question, retrieval), question, retrieval)
    answer = await answered(request, services, question, retrieval) if body.generate else None
    if answer is None:
        count_lost(retrieval.degraded, services)
    return reply_of(question, retrieval, answer)


def reply_of(question: Question, retrieval: Retrieval, answer: Answer | None) -> QueryReply:
    """All that is known of a question and its answer."""
    degraded = answer.degraded if answer else retrieval.degraded
    return QueryReply(
        id=_id(),
        answer=answer.text if answer else None,
        status=answer.status if answer else "partial" if degraded else "ok",
        no_answer_reason=answer.no_answer_reason if answer else None,
        confidence=answer.confidence if answer else None,
        finish_reason=answer.finish_reason if answer else None,
        citations=[CitationReply.of(citation) for citation in answer.citations] if answer else [],
        chunks=[ChunkReply.of(hit) for hit in retrieval.hits],
        searched=retrieval.text,
        usage=dict(answer.usage) if answer else {},
        llm_timings_ms=dict(answer.llm_timings_ms) if answer else {},
        timings_ms=question.timings.milliseconds(),
        degraded=list(degraded),
        warnings=WarningReply.all_of(retrieval),
        index_version=retrieval.index_version,
        explain=_explained(question, retrieval),
    )


class QueryEvents:
    """retrieval, then token and citation as they come, then done or error."""

    def __init__(self, question: Question, retrieval: Retrieval) -> None:
        self._question = question
        self._retrieval = retrieval

    def opening(self) -> bytes:
        """What was found."""
        return event("retrieval", opening_of(self._question, self._retrieval).model_dump())

    def text(self, text: str) -> bytes:
        """The next piece of the answer."""
        return event("token", {"text": text})

    def citation(self, citation: Citation) -> bytes:
        """A marker in the text so far."""
        return event("citation", CitationReply.of(citation).model_dump())

    def closing(self, answer: Answer) -> bytes:
        """The end, and the whole."""
        return event("done", closing_of(answer, self._question).model_dump())


def opening_of(question: Question, retrieval: Retrieval) -> RetrievalEvent:
    """What a stream begins with."""
    return RetrievalEvent(
        id=_id(),
        chunks=[ChunkReply.of(hit) for hit in retrieval.hits],
        searched=retrieval.text,
        warnings=WarningReply.all_of(retrieval),
        timings_ms=question.timings.milliseconds(),
        index_version=retrieval.index_version,
        explain=_explained(question, retrieval),
    )


def closing_of(answer: Answer, question: Question) -> DoneEvent:
    """What a stream ends with."""
    return DoneEvent(
        status=answer.status,
        no_answer_reason=answer.no_answer_reason,
        confidence=answer.confidence,
        answer=answer.text,
        finish_reason=answer.finish_reason,
        usage=dict(answer.usage),
        llm_timings_ms=dict(answer.llm_timings_ms),
        timings_ms=question.timings.milliseconds(),
        degraded=list(answer.degraded),
    )


def _explained(question: Question, retrieval: Retrieval) -> Explanation | None:
    return Explanation.of(retrieval, len(question.params.boosts)) if question.params.explain else None


def _id() -> str:
    return uuid.uuid4().hex
