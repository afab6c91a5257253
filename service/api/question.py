"""POST /v1/query and POST /v1/search."""

import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import APIRouter, Depends, Request, Response

from indexes.base import SearchParams
from indexes.filters import parse_filter
from service.api import problems
from service.api.caller import caller_of
from service.api.hang_up import unless_hung_up
from service.api.media_type import require_json
from service.api.schemas.explanation import Explanation
from service.api.schemas.question import ChunkReply, CitationReply, QueryBody, QueryReply, SearchBody, SearchReply
from service.api.services import Services, ServicesOf
from service.api.sse import EventStream, event
from service.budget import Deadline
from service.errors import InvalidRequestError
from service.generation.base import Delta
from service.rag import Answer, Citation, Question, Retrieval
from service.telemetry.timings import Timings, server_timing

router = APIRouter(prefix="/v1", tags=["questions"], dependencies=[Depends(require_json)])


@router.post("/search")
async def search(body: SearchBody, request: Request, response: Response, services: ServicesOf) -> SearchReply:
    """Chunks nearest to the query, best first."""
    question = _question(body, request, services)
    retrieval = await unless_hung_up(request, services.rag.retrieve(question))
    timings = _recorded(question.timings, services)
    response.headers["Server-Timing"] = server_timing(timings)
    return SearchReply(
        id=_id(),
        chunks=[ChunkReply.of(hit) for hit in retrieval.hits],
        timings_ms=timings,
        index_version=retrieval.index_version,
        explain=_explained(question, retrieval),
    )


@router.post("/query", response_model=QueryReply, responses={200: {"content": {"text/event-stream": {}}}})
async def query(
    body: QueryBody, request: Request, response: Response, services: ServicesOf
) -> QueryReply | EventStream:
    """An answer from the documents, with citations; as server-sent events when ``stream`` is true."""
    if body.stream and not body.generate:
        raise InvalidRequestError("stream is true and generate is false: there is nothing to stream", param="stream")
    question = _question(body, request, services)
    retrieval = await unless_hung_up(request, services.rag.retrieve(question))
    if body.stream:
        timings = question.timings.milliseconds()
        headers = {"Server-Timing": server_timing(timings)}
        return EventStream(_frames(request, services, question, retrieval), headers)
    answer = await unless_hung_up(request, services.rag.answer(question, retrieval)) if body.generate else None
    timings = _recorded(question.timings, services)
    response.headers["Server-Timing"] = server_timing(timings)
    if answer:
        _count(answer, services)
    return QueryReply(
        id=_id(),
        answer=answer.text if answer else None,
        status=answer.status if answer else "ok",
        no_answer_reason=answer.no_answer_reason if answer else None,
        citations=[CitationReply.of(citation) for citation in answer.citations] if answer else [],
        chunks=[ChunkReply.of(hit) for hit in retrieval.hits],
        usage=dict(answer.usage) if answer else {},
        timings_ms=timings,
        degraded=list(answer.degraded) if answer else [],
        index_version=retrieval.index_version,
        explain=_explained(question, retrieval),
    )


async def _frames(
    request: Request, services: Services, question: Question, retrieval: Retrieval
) -> AsyncGenerator[bytes, None]:
    """retrieval, then token and citation as they come, then done or error."""
    chunks = [ChunkReply.of(hit).model_dump() for hit in retrieval.hits]
    timings = question.timings.milliseconds()
    explained = _explained(question, retrieval)
    opening = {
        "id": _id(),
        "chunks": chunks,
        "timings_ms": timings,
        "index_version": retrieval.index_version,
        "explain": explained and explained.model_dump(),
    }
    yield event("retrieval", opening)
    try:
        async with aclosing(services.rag.stream(question, retrieval)) as items:
            async for item in items:
                match item:
                    case Delta(text):
                        yield event("token", {"text": text})
                    case Citation():
                        yield event("citation", CitationReply.of(item).model_dump())
                    case Answer():
                        yield event("done", _done(item, question, services))
    except Exception as error:  # the edge of a stream: its status is sent, so the failure travels as an event
        body = problems.describe(request, error)
        services.metrics.problems.labels(body["error"]["code"]).inc()
        yield event("error", body)


def _done(answer: Answer, question: Question, services: Services) -> dict[str, object]:
    _count(answer, services)
    return {
        "status": answer.status,
        "no_answer_reason": answer.no_answer_reason,
        "answer": answer.text,
        "finish_reason": answer.finish_reason,
        "usage": dict(answer.usage),
        "timings_ms": _recorded(question.timings, services),
        "degraded": list(answer.degraded),
    }


def _question(body: SearchBody, request: Request, services: Services) -> Question:
    settings = services.settings
    limit = settings.limits.query_characters
    if len(body.query) > limit:
        raise InvalidRequestError(f"query has {len(body.query)} characters; the limit is {limit}", param="query")
    if not body.query.strip():
        raise InvalidRequestError("query is blank", param="query")
    generation = {}
    if isinstance(body, QueryBody):
        generation = body.model_dump(include={"llm", "max_tokens", "temperature", "on_failure"})
    index = settings.index
    filter_ = None if body.filters is None else parse_filter(body.filters)
    return Question(
        text=body.query,
        collection=body.collection,
        params=SearchParams(body.top_k, body.score_threshold, index.nprobe, index.refine, filter_, body.explain),
        deadline=Deadline.after(body.deadline_ms or settings.budgets.total_ms),
        caller=caller_of(request),
        **generation,
    )


def _explained(question: Question, retrieval: Retrieval) -> Explanation | None:
    return Explanation.of(retrieval) if question.params.explain else None


def _recorded(timings: Timings, services: Services) -> dict[str, float]:
    for stage, seconds in timings.seconds().items():
        services.metrics.stage_seconds.labels(stage).observe(seconds)
    return timings.milliseconds()


def _count(answer: Answer, services: Services) -> None:
    services.metrics.answers.labels(answer.status).inc()
    services.metrics.citations_invalid.inc(answer.invalid_markers)
    for rung in answer.degraded:
        services.metrics.degraded.labels(rung).inc()


def _id() -> str:
    return uuid.uuid4().hex
