"""What was asked: bodies become questions, with their deadlines, once what no schema can say is checked."""

from collections.abc import Sequence
from dataclasses import replace

from fastapi import Request

from indexes.base import Boost, SearchParams
from indexes.filters import parse_filter
from service.api.access import permitted
from service.api.caller import caller_of
from service.api.context import timings_of
from service.api.schemas.conversation import MessageBody
from service.api.schemas.question import QueryBody, RetrievalBody, SearchBody
from service.budget import Deadline
from service.errors import InvalidRequestError
from service.generation.base import Turn
from service.preprocessing import prepared
from service.question import Question
from service.settings import LimitSettings, Settings


def search_of(body: SearchBody, request: Request, settings: Settings) -> Question:
    """A search.

    Raises:
        InvalidRequestError: the query is blank or too long.
        ForbiddenError: the caller may not use the collection.
    """
    _check_text(body.query, "query", settings)
    return _question(body, request, settings, body.query)


def question_of(body: QueryBody, request: Request, settings: Settings) -> Question:
    """A question, with the conversation before it.

    Raises:
        InvalidRequestError: the question is blank or too long, or the conversation is.
        ForbiddenError: the caller may not use the collection.
    """
    if body.messages is None:
        param, text, before = "query", body.query or "", list[MessageBody]()
    else:
        _check_conversation(body.messages, settings.limits)
        param, text, before = "messages", body.messages[-1].content, body.messages[:-1]
    _check_text(text, param, settings)
    return replace(
        _question(body, request, settings, text),
        turns=[Turn(message.role, message.content) for message in before],
        rewrite=body.rewrite,
        generate=body.generate,
        llm=body.llm,
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        on_failure=body.on_failure,
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
    deadline = Deadline.after(body.deadline_ms or settings.budgets.total_ms)
    return Question(
        text=text,
        collection=permitted(request, body.collection),
        params=params,
        deadline=deadline.earlier(timings.elapsed()),  # it began with the request
        caller=caller.name,
        realm=caller.realm,
        request_id=request.state.request_id,
        timings=timings,
    )


def _check_text(text: str, param: str, settings: Settings) -> None:
    limit = settings.limits.query_characters
    if len(text) > limit:
        said = f"{param} has {len(text)} characters; the limit is {limit}"
        raise InvalidRequestError(f"the question in {said}" if param == "messages" else said, param=param)
    if not prepared(text, settings.retrieval.unicode_form).text:
        raise InvalidRequestError("query is blank" if param == "query" else "the last message is blank", param=param)


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
