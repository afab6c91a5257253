"""Chat completions, in OpenAI's shape."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from service.api.schemas.base import Finite, VendorBody
from service.api.schemas.question import AnswerOptions, AnswerReply, RetrievalOptions


class RagOptions(AnswerOptions, RetrievalOptions):
    """What /v1/query takes and OpenAI's shape has no place for."""


class ChatMessageBody(VendorBody):
    """A message: of its vendor's fields only those that would change what was said are looked at."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[Any] | None = None
    function_call: Any = None


class StreamOptions(VendorBody):
    """How a stream ends."""

    include_usage: bool | None = None


class ChatBody(VendorBody):
    """A conversation whose last message is a question to a collection."""

    model: str = Field("default", description="Name of a collection or an alias.")
    messages: list[ChatMessageBody] = Field(min_length=1)
    rag: RagOptions = RagOptions()
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(None, ge=1, le=32_768)
    max_completion_tokens: int | None = Field(None, ge=1, le=32_768)
    temperature: Finite | None = Field(None, ge=0, le=2)
    n: int | None = None
    stop: str | list[str] | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    modalities: list[str] | None = None
    top_p: Any = None
    seed: Any = None
    presence_penalty: Any = None
    frequency_penalty: Any = None
    logit_bias: Any = None


class UrlCitation(BaseModel):
    """A document, and the place of its marker in the answer, in Unicode code points."""

    url: str
    title: str
    start_index: int
    end_index: int


class Annotation(BaseModel):
    """A citation as OpenAI has it."""

    type: Literal["url_citation"] = "url_citation"
    url_citation: UrlCitation


class ChatMessageReply(BaseModel):
    """The answer."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None
    annotations: list[Annotation]


class Choice(BaseModel):
    """The only one."""

    index: Literal[0] = 0
    message: ChatMessageReply
    logprobs: None = None
    finish_reason: str


class ChatUsage(BaseModel):
    """Tokens that the language model read and wrote, as far as its server counts them; 0 where there was none."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class RagReply(AnswerReply):
    """What /v1/query replies and OpenAI's shape has no place for."""

    ignored: list[str] = Field(description="What the request had and the answer does not heed.")


class ChatReply(BaseModel):
    """A chat completion."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="Unix time.")
    model: str
    choices: list[Choice]
    usage: ChatUsage
    rag: RagReply
