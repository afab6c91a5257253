"""POST /v1/rerank and /v2/rerank, in Cohere's and Jina's shape."""

import uuid
from collections.abc import Sequence

import numpy as np
from fastapi import APIRouter, Request

from service.api.access import needs
from service.api.caller import asker_of, lane_of
from service.api.context import timings_of
from service.api.description.failing import fails_with
from service.api.hang_up import unless_hung_up
from service.api.route import ManyInputsRoute
from service.api.schemas.rerank import RerankBody, RerankDocument, RerankReply, RerankResult, RerankUsage
from service.api.screening import screened
from service.api.services import Services, ServicesOf
from service.api.text import require_unicode
from service.batching import Asker
from service.errors import (
    ContentBlockedError,
    DeadlineExceededError,
    EmbedderUnavailableError,
    InvalidRequestError,
    ModelNotServedError,
    OverloadedError,
    TooManyInputsError,
)
from service.limit_settings import LimitSettings
from service.reranking import RerankBatcher, Scored
from service.scheduling.job import Lane

router = APIRouter(route_class=ManyInputsRoute, tags=["models"], dependencies=[needs("query")])


_FAILURES = fails_with(
    InvalidRequestError,
    ContentBlockedError,
    ModelNotServedError,
    TooManyInputsError,
    OverloadedError,
    EmbedderUnavailableError,
    DeadlineExceededError,
)


@router.post("/v2/rerank", response_model_exclude_none=True, openapi_extra=_FAILURES, operation_id="rerank_v2")
@router.post("/v1/rerank", response_model_exclude_none=True, openapi_extra=_FAILURES)
async def rerank(body: RerankBody, request: Request, services: ServicesOf) -> RerankReply:
    """Documents by how well they answer the query, best first."""
    reranker = _reranker(body, services)
    texts = _texts(body, services.settings.limits)
    (query,) = await screened([body.query], "query", request, services)
    lane = lane_of(len(query) * len(texts) + sum(map(len, texts)))
    asker = asker_of(request, services.settings.budgets.total_ms)
    scored = await unless_hung_up(request, _scored(reranker, query, texts, lane, asker))
    timings_of(request).counts.update(question_characters=len(query), documents=len(texts), tokens=scored.tokens)
    order = np.argsort(-scored.scores, kind="stable")[: body.top_n].tolist()
    results = [
        RerankResult(
            index=i,
            relevance_score=float(scored.scores[i]),
            document=RerankDocument(text=texts[i]) if body.return_documents else None,
        )
        for i in order
    ]
    usage = RerankUsage(total_tokens=scored.tokens)
    return RerankReply(id=uuid.uuid4().hex, model=reranker.info.name, results=results, usage=usage)


async def _scored(reranker: RerankBatcher, query: str, documents: Sequence[str], lane: Lane, asker: Asker) -> Scored:
    async with asker.enforced("rerank"):
        return await reranker.score(query, documents, lane, asker)


def _reranker(body: RerankBody, services: Services) -> RerankBatcher:
    reranker = services.reranker
    if reranker is None:
        raise ModelNotServedError(
            "no reranker is served here: set rerank.model (QUARRY_RERANK__MODEL) to the folder of a cross-encoder"
        )
    if body.model not in {None, reranker.info.name}:
        raise ModelNotServedError(f"reranker {body.model!r} is not served here; {reranker.info.name!r} is")
    return reranker


def _texts(body: RerankBody, limits: LimitSettings) -> list[str]:
    """The documents, once they and the query, which is read with each of them, are what can be ranked."""
    if not body.query.strip():
        raise InvalidRequestError("query is blank", param="query")
    if len(body.query) > limits.query_characters:
        said = f"query has {len(body.query)} characters; the limit is {limits.query_characters}"
        raise InvalidRequestError(said, param="query")
    require_unicode(body.query, "query")
    if not body.documents:
        raise InvalidRequestError("documents is empty: there is nothing to rank", param="documents")
    if len(body.documents) > limits.rerank_documents:
        raise TooManyInputsError(f"documents has {len(body.documents)} texts; the limit is {limits.rerank_documents}")
    texts = [item if isinstance(item, str) else item.text for item in body.documents]
    return [require_unicode(text, f"documents[{i}]") for i, text in enumerate(texts)]
