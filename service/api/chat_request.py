"""What a chat completion asks: a conversation becomes a query, and what would silently go wrong is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import Request

from service.api.caller import read_timeout_ms
from service.api.schemas.chat import ChatBody, ChatMessageBody
from service.api.schemas.conversation import MessageBody
from service.api.schemas.question import QueryBody
from service.errors import InvalidRequestError
from service.limit_settings import LimitSettings
from service.settings import Settings

_INSTRUCTING = frozenset({"system", "developer"})
_SPEAKING = frozenset({"user", "assistant"})
# They shape how a model draws its tokens, not what is asked of it.
_UNHEEDED = ("top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias")

_REFUSED: tuple[tuple[str, Callable[[ChatBody], object], str], ...] = (
    ("n", lambda body: body.n not in {None, 1}, "there is one answer: n must be 1"),
    ("stop", lambda body: body.stop, "an answer ends where it is whole: stop sequences are not taken"),
    ("tools", lambda body: body.tools, "no tools are called here: leave tools out"),
    ("functions", lambda body: body.functions, "no functions are called here: leave functions out"),
    ("logprobs", lambda body: body.logprobs, "there are no logprobs of an answer"),
    ("modalities", lambda body: set(body.modalities or ()) - {"text"}, "answers are text: no other modalities"),
    (
        "response_format",
        lambda body: (body.response_format or {}).get("type", "text") != "text",
        "answers are text with markers: response_format must be of type text",
    ),
)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completion as the query that it is.

    Attributes:
        ignored: what the body had and the answer does not heed.
    """

    query: QueryBody
    ignored: Sequence[str]


def chat_request(body: ChatBody, request: Request, settings: Settings) -> ChatRequest:
    """The query.

    Raises:
        InvalidRequestError: naming what would be answered wrongly, were it passed over.
    """
    for param, is_given, said in _REFUSED:
        if is_given(body):
            raise InvalidRequestError(said, param=param)
    ignored = [name for name in _UNHEEDED if getattr(body, name) is not None]
    if any(message.role in _INSTRUCTING for message in body.messages):
        ignored.append("messages: system")
    conversation = _conversation(body.messages)
    latest = _latest(conversation, settings.limits)
    if len(latest) < len(conversation):
        ignored.append(f"messages: the first {len(conversation) - len(latest)}")
    query = QueryBody(
        **body.rag.model_dump(exclude={"deadline_ms"}),
        deadline_ms=_deadline_ms(body, request, settings),
        collection=body.model,
        messages=latest,
        max_tokens=body.max_completion_tokens or body.max_tokens,
        temperature=body.temperature,
    )
    return ChatRequest(query, ignored)


def _conversation(messages: Sequence[ChatMessageBody]) -> list[MessageBody]:
    """What user and assistant said, without messages of no text; the last is the question."""
    said = [
        (message.role, _text(message, f"messages[{i}]"))
        for i, message in enumerate(messages)
        if message.role not in _INSTRUCTING
    ]
    if not said:
        raise InvalidRequestError("messages hold no question: the last must be of role user", param="messages")
    if said[-1][0] != "user":
        raise InvalidRequestError(
            f"the last of messages is the question: its role must be user, not {said[-1][0]}", param="messages"
        )
    if not said[-1][1]:
        raise InvalidRequestError("the last message is blank", param="messages")
    return [MessageBody.model_validate({"role": role, "content": text}) for role, text in said if text]


def _text(message: ChatMessageBody, where: str) -> str:
    if message.role not in _SPEAKING:
        raise InvalidRequestError(
            f"{where}.role is {message.role[:32]!r}: there are user, assistant, system and developer", param="messages"
        )
    if message.tool_calls or message.function_call:
        raise InvalidRequestError(f"{where} calls a tool: no tools are called here", param="messages")
    if isinstance(message.content, list):
        return "\n".join(_part(part, f"{where}.content[{i}]") for i, part in enumerate(message.content))
    return message.content or ""


def _part(part: dict[str, object], where: str) -> str:
    text = part.get("text")
    if part.get("type") != "text" or not isinstance(text, str):
        raise InvalidRequestError(
            f"{where} is of type {str(part.get('type'))[:32]!r}: only parts of type text are read", param="messages"
        )
    return text


def _latest(said: Sequence[MessageBody], limits: LimitSettings) -> list[MessageBody]:
    """As much of a conversation's end as is taken: a chat that goes on for long loses its beginning."""
    kept: list[MessageBody] = []
    characters = 0
    for message in reversed(said[-limits.conversation_messages :]):
        characters += len(message.content)
        if kept and characters > limits.conversation_characters:
            break
        kept.append(message)
    return kept[::-1]


def _deadline_ms(body: ChatBody, request: Request, settings: Settings) -> int:
    """A reply that is read whole must come within the client's read timeout; of a stream each piece has that."""
    asked = body.rag.deadline_ms or settings.budgets.total_ms
    patience = None if body.stream else read_timeout_ms(request)
    return asked if patience is None else min(asked, patience)
