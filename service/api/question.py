"""POST /v1/query and POST /v1/search."""

import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from fastapi import APIRouter, Depends, Request

from service.answer import Answer, Citation
from service.api import problems
from service.api.asked import question_of, search_of
from service.api.context import timings_of
from service.api.hang_up import unless_hung_up
from service.api.media_type import require_json
from service.api.schemas.explanation import Explanation
from service.api.schemas.question import ChunkReply, CitationReply, QueryBody, QueryReply, SearchBody, SearchReply
from service.api.services import Services, ServicesOf
from service.api.sse import EventStream, event
from service.errors import InvalidRequestError
from service.generation.base import Delta
from service.question import Question, Retrieval

router = APIRouter(prefix="/v1", tags=["questions"], dependencies=[Depends(require_json)])


@router.post("/search")
async def search(body: SearchBody, request: Request, services: ServicesOf) -> SearchReply:
    """Chunks nearest to the query, best first."""
    question = search_of(body, request, services.settings)
    retrieval = await unless_hung_up(request, services.rag.retrieve(question))
    return SearchReply(
        id=_id(),
        chunks=[ChunkReply.of(hit) for hit in retrieval.hits],
        timings_ms=timings_of(request).milliseconds(),
        index_version=retrieval.index_version,
        explain=_explained(question, retrieval),
    )


@router.post("/query", response_model=QueryReply, responses={200: {"content": {"text/event-stream": {}}}})
async def query(body: QueryBody, request: Request, services: ServicesOf) -> QueryReply | EventStream:
    """An answer from the documents, with citations; as server-sent events when ``stream`` is true."""
    if body.stream and not body.generate:
        raise InvalidRequestError("stream is true and generate is false: there is nothing to stream", param="stream")
    question = question_of(body, request, services.settings)
    retrieval = await unless_hung_up(request, services.rag.retrieve(question))
    if body.stream:
        return EventStream(
            _frames(request, services, question, retrieval),
            question.deadline,
            opening=lambda: event("retrieval", _opening(question, retrieval)),
        )
    answer = await unless_hung_up(request, services.rag.answer(question, retrieval)) if body.generate else None
    if answer:
        _count(answer, services)
    else:
        _count_lost(retrieval.degraded, services)
    return _reply(question, retrieval, answer)


def _reply(question: Question, retrieval: Retrieval, answer: Answer | None) -> QueryReply:
    degraded = answer.degraded if answer else retrieval.degraded
    return QueryReply(
        id=_id(),
        answer=answer.text if answer else None,
        status=answer.status if answer else "partial" if degraded else "ok",
        no_answer_reason=answer.no_answer_reason if answer else None,
        finish_reason=answer.finish_reason if answer else None,
        citations=[CitationReply.of(citation) for citation in answer.citations] if answer else [],
        chunks=[ChunkReply.of(hit) for hit in retrieval.hits],
        searched=retrieval.text,
        usage=dict(answer.usage) if answer else {},
        llm_timings_ms=dict(answer.llm_timings_ms) if answer else {},
        timings_ms=question.timings.milliseconds(),
        degraded=list(degraded),
        index_version=retrieval.index_version,
        explain=_explained(question, retrieval),
    )


async def _frames(
    request: Request, services: Services, question: Question, retrieval: Retrieval
) -> AsyncGenerator[bytes, None]:
    """Tokens and citations as they come, then done or error."""
    try:
        async with aclosing(services.rag.stream(question, retrieval)) as items:
            async for item in items:
                match item:
                    case Delta(text):
                        yield event("token", {"text": text})
                    case Citation():
                        yield event("citation", CitationReply.of(item).model_dump())
                    case Answer():
                        _count(item, services)
                        yield event("done", _done(item, question))
    except Exception as error:  # the edge of a stream: its status is sent, so the failure travels as an event
        body = problems.describe(request, error)
        services.metrics.problems.labels(body["error"]["code"]).inc()
        yield event("error", body)


def _opening(question: Question, retrieval: Retrieval) -> dict[str, object]:
    explained = _explained(question, retrieval)
    return {
        "id": _id(),
        "chunks": [ChunkReply.of(hit).model_dump() for hit in retrieval.hits],
        "searched": retrieval.text,
        "timings_ms": question.timings.milliseconds(),
        "index_version": retrieval.index_version,
        "explain": explained and explained.model_dump(),
    }


def _done(answer: Answer, question: Question) -> dict[str, object]:
    return {
        "status": answer.status,
        "no_answer_reason": answer.no_answer_reason,
        "answer": answer.text,
        "finish_reason": answer.finish_reason,
        "usage": dict(answer.usage),
        "llm_timings_ms": dict(answer.llm_timings_ms),
        "timings_ms": question.timings.milliseconds(),
        "degraded": list(answer.degraded),
    }


def _explained(question: Question, retrieval: Retrieval) -> Explanation | None:
    return Explanation.of(retrieval) if question.params.explain else None


def _count(answer: Answer, services: Services) -> None:
    services.metrics.answers.labels(answer.status).inc()
    services.metrics.citations_invalid.inc(answer.invalid_markers)
    _count_lost(answer.degraded, services)


def _count_lost(degraded: Sequence[str], services: Services) -> None:
    for rung in degraded:
        services.metrics.degraded.labels(rung).inc()


def _id() -> str:
    return uuid.uuid4().hex
