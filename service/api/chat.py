"""POST /v1/chat/completions, in OpenAI's shape."""

from fastapi import APIRouter, Request

from indexes.errors import CollectionNotFoundError
from service.api.access import needs
from service.api.answering import answered, streamed
from service.api.asked import question_of
from service.api.chat_form import ChatForm, failure_frame
from service.api.chat_request import chat_request
from service.api.description.failing import ANSWERING, fails_with
from service.api.description.stream import CHAT_STREAM
from service.api.hang_up import unless_hung_up
from service.api.route import CheckedRoute
from service.api.schemas.chat import ChatBody, ChatReply
from service.api.services import ServicesOf
from service.api.sse import EventStream
from service.errors import ModelNotServedError

router = APIRouter(route_class=CheckedRoute, prefix="/v1", tags=["questions"], dependencies=[needs("query")])


@router.post(
    "/chat/completions",
    response_model=ChatReply,
    responses={200: CHAT_STREAM},
    openapi_extra=fails_with(*ANSWERING, ModelNotServedError),
)
async def chat_completions(body: ChatBody, request: Request, services: ServicesOf) -> ChatReply | EventStream:
    """An answer from the documents of the collection that `model` names, with citations as annotations.

    In OpenAI's shape. What the answer does not heed is named in `rag.ignored`; what would make it another is a 400.
    """
    asked = chat_request(body, request, services.settings)
    question = await question_of(asked.query, request, services)
    try:
        retrieval = await unless_hung_up(request, services.rag.retrieve(question))
    except CollectionNotFoundError:
        raise ModelNotServedError(
            f"model {body.model!r} is not served here: a chat's model is a collection or an alias, "
            "which GET /v1/models lists"
        ) from None
    with_usage = bool(body.stream_options and body.stream_options.include_usage)
    form = ChatForm(question, retrieval, asked.ignored, with_usage=with_usage)
    if body.stream:
        request.state.failure_frame = failure_frame
        return streamed(request, services, form, question, retrieval)
    return form.whole(await answered(request, services, question, retrieval))
