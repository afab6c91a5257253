"""What was asked: bodies become questions, with their deadlines, once what no schema can say is checked.

A question that is here has been screened: nothing of what was sent goes any further without that.
"""

from collections.abc import Sequence
from dataclasses import replace

from fastapi import Request

from indexes.base import Boost, SearchParams
from indexes.filters import parse_filter
from service.api.access import permitted
from service.api.caller import caller_of
from service.api.context import note_question, timings_of
from service.api.schemas.conversation import MessageBody
from service.api.schemas.question import QueryBody, SearchBody
from service.api.schemas.retrieval import HybridBody, RerankingBody, RetrievalBody
from service.api.screening import screened
from service.api.services import Services
from service.budget import Deadline
from service.errors import InvalidRequestError, RerankerMissingError
from service.generation.base import Turn
from service.limit_settings import LimitSettings
from service.preprocessing import prepared
from service.question import Question
from service.rerank_settings import RerankSettings
from service.settings import RetrievalSettings, Settings


async def search_of(body: SearchBody, request: Request, services: Services) -> Question:
    """A search.

    Raises:
        InvalidRequestError: the query is blank or too long.
        RerankerMissingError: its hits are to be reranked, and there is nobody who could.
        ForbiddenError: the caller may not use the collection.
        ContentBlockedError: a content rule refuses it.
    """
    await services.library.seek(body.collection)
    return _question(body, request, services.settings, *await _screened([body.query], "query", request, services))


async def question_of(body: QueryBody, request: Request, services: Services) -> Question:
    """A question, with the conversation before it.

    Raises:
        InvalidRequestError: the question is blank or too long, or the conversation is.
        RerankerMissingError: its hits are to be reranked, and there is nobody who could.
        ForbiddenError: the caller may not use the collection.
        ContentBlockedError: a content rule refuses what is said in one of them.
    """
    await services.library.seek(body.collection)
    if body.messages is None:
        param, text, before = "query", body.query or "", list[MessageBody]()
    else:
        _check_conversation(body.messages, services.settings.limits)
        param, text, before = "messages", body.messages[-1].content, body.messages[:-1]
    *said, text = await _screened([*(message.content for message in before), text], param, request, services)
    return replace(
        _question(body, request, services.settings, text),
        turns=[Turn(message.role, content) for message, content in zip(before, said, strict=True)],
        rewrite=body.rewrite,
        generate=body.generate,
        llm=body.llm,
        max_tokens=body.max_tokens,
        temperature=body.temperature,
    )


def _question(body: RetrievalBody, request: Request, settings: Settings, text: str) -> Question:
    index, timings, caller = settings.index, timings_of(request), caller_of(request)
    filter_ = None if body.filters is None else parse_filter(body.filters)
    boosts = tuple(Boost(parse_filter(boost.filter), boost.weight) for boost in body.boost)
    params = SearchParams(
        top_k=body.top_k,
        score_threshold=body.score_threshold,
        nprobe=index.nprobe,
        refine=index.refine,
        filter=filter_,
        explain=body.explain,
        boosts=boosts,
        required=caller.rights.filter,
    )
    note_question(request, text)
    deadline = Deadline.after(body.deadline_ms or settings.budgets.total_ms)
    return Question(
        text=text,
        collection=permitted(request, body.collection),
        params=params,
        deadline=deadline.earlier(timings.elapsed()),  # it began with the request
        dense_weight=_dense_weight(body.hybrid, settings.retrieval),
        insists_on_words=body.hybrid is not None,
        candidates=_candidates(body.rerank, settings.rerank),
        on_failure=body.on_failure,
        caller=caller.name,
        realm=caller.realm,
        request_id=request.state.request_id,
        timings=timings,
    )


def _dense_weight(asked: HybridBody | None, settings: RetrievalSettings) -> float | None:
    """The share of the vectors; None where no words are to be looked for."""
    if not (settings.hybrid if asked is None else asked.enabled):
        return None
    return settings.dense_weight if asked is None or asked.weight is None else asked.weight


def _candidates(asked: RerankingBody | None, settings: RerankSettings) -> int:
    """Hits to reorder; 0 where none are."""
    if asked is None:
        return settings.default_candidates
    if not asked.enabled:
        return 0
    if settings.model is None:
        raise RerankerMissingError
    return asked.candidates or settings.candidates


async def _screened(texts: Sequence[str], param: str, request: Request, services: Services) -> list[str]:
    """The texts as they may be seen; the last is the question, which must not be blank, as it was or as it is then."""
    _check_length(texts[-1], param, services.settings.limits.query_characters)
    passed = await screened(texts, param, request, services)
    if not prepared(passed[-1], services.settings.retrieval.unicode_form).text:
        raise InvalidRequestError("query is blank" if param == "query" else "the last message is blank", param=param)
    return passed


def _check_length(text: str, param: str, limit: int) -> None:
    if len(text) > limit:
        said = f"{param} has {len(text)} characters; the limit is {limit}"
        raise InvalidRequestError(f"the question in {said}" if param == "messages" else said, param=param)


def _check_conversation(messages: Sequence[MessageBody], limits: LimitSettings) -> None:
    if len(messages) > limits.conversation_messages:
        raise InvalidRequestError(
            f"messages are {len(messages)}; the limit is {limits.conversation_messages}", param="messages"
        )
    characters = sum(len(message.content) for message in messages)
    if characters > limits.conversation_characters:
        raise InvalidRequestError(
            f"messages have {characters} characters; the limit is {limits.conversation_characters}", param="messages"
        )
