"""Chat completions, in OpenAI's shape."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from service.api.schemas.base import WHOLE, Finite, VendorBody, described, examples
from service.api.schemas.question import CHUNK, CITATION, AnswerOptions, AnswerReply
from service.api.schemas.retrieval import RetrievalOptions

# What the schema says of fields that are refused unless they say what is so anyway.
_NOTHING = described(maxItems=0)
_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
}
# Of the vendor's instructions nothing but the role is read.
_INSTRUCTION = {"properties": {"role": {"enum": ["system", "developer"]}}}
_SPOKEN = {
    "properties": {
        "role": {"enum": ["user", "assistant"]},
        "content": {"anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": _PART}]},
        "tool_calls": {"anyOf": [{"type": "array", "maxItems": 0}, {"type": "null"}]},
        "function_call": {"anyOf": [{"type": "object", "maxProperties": 0}, {"type": "null"}]},
    }
}
Limit = Annotated[int, Field(ge=1, le=32_768), WHOLE]


class RagOptions(AnswerOptions, RetrievalOptions):
    """What /v1/query takes and OpenAI's shape has no place for."""


class ChatMessageBody(VendorBody):
    """A message: of its vendor's fields only those that would change what was said are looked at."""

    model_config = examples(anyOf=[_SPOKEN, _INSTRUCTION])

    role: str = Field(description="user or assistant; what system and developer say is passed over.")
    content: str | list[dict[str, Any]] | None = Field(None, description="A text, or parts of type text.")
    tool_calls: list[Any] | None = Field(None, description="Not taken.")
    function_call: dict[str, Any] | None = Field(None, description="Not taken.")


class StreamOptions(VendorBody):
    """How a stream ends."""

    include_usage: bool | None = Field(None, description="A chunk with the usage before `[DONE]`.")


class ChatBody(VendorBody):
    """A conversation whose last message is a question to a collection."""

    model_config = examples(
        {"model": "docs", "messages": [{"role": "user", "content": "When is the audit?"}], "rag": {"top_k": 5}},
        {"model": "docs", "messages": [{"role": "user", "content": "When is the audit?"}], "stream": True},
    )

    model: str = Field("default", description="Name of a collection or an alias.")
    messages: list[ChatMessageBody] = Field(
        min_length=1, description="The conversation, oldest first; its last message is the user's question."
    )
    rag: RagOptions = Field(RagOptions(), description="What /v1/query takes and OpenAI's shape has no place for.")
    stream: bool | None = Field(None, description="Server-sent events instead of one JSON object.")
    stream_options: StreamOptions | None = None
    max_tokens: Limit | None = Field(None, description="Longest answer, in tokens of the model.")
    max_completion_tokens: Limit | None = Field(None, description="The same by its newer name, which counts.")
    temperature: Finite | None = Field(None, ge=0, le=2, description="Null takes the generator's own.")
    n: Annotated[int, WHOLE] | None = Field(
        None, description="There is one answer.", json_schema_extra={"anyOf": [{"const": 1}, {"type": "null"}]}
    )
    stop: str | list[str] | None = Field(
        None,
        description="Not taken.",
        json_schema_extra={
            "anyOf": [{"type": "string", "maxLength": 0}, {"type": "array", "maxItems": 0}, {"type": "null"}]
        },
    )
    tools: list[Any] | None = Field(None, description="Not taken.", json_schema_extra=_NOTHING)
    functions: list[Any] | None = Field(None, description="Not taken.", json_schema_extra=_NOTHING)
    response_format: dict[str, Any] | None = Field(
        None,
        description="Of type text, which is the default.",
        json_schema_extra=described(properties={"type": {"const": "text"}}),
    )
    logprobs: bool | None = Field(None, description="Not given.", json_schema_extra=described(enum=[False, None]))
    modalities: list[str] | None = Field(
        None,
        description="Answers are text.",
        json_schema_extra={"anyOf": [{"type": "array", "items": {"const": "text"}}, {"type": "null"}]},
    )
    top_p: Any = Field(None, description="Not heeded.")
    seed: Any = Field(None, description="Not heeded.")
    presence_penalty: Any = Field(None, description="Not heeded.")
    frequency_penalty: Any = Field(None, description="Not heeded.")
    logit_bias: Any = Field(None, description="Not heeded.")


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

    model_config = examples(
        {
            "id": "chatcmpl-5f0c6a7e0d3b4f0f9a53a7a7c1b6a4de",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": "docs",
            "choices": [
                {
                    "index": 0,
                    "message": {
                        "role": "assistant",
                        "content": "The audit is on Friday. [1]",
                        "refusal": None,
                        "annotations": [
                            {
                                "type": "url_citation",
                                "url_citation": {
                                    "url": "/v1/collections/docs/documents/memo-1",
                                    "title": "Memo",
                                    "start_index": 24,
                                    "end_index": 27,
                                },
                            }
                        ],
                    },
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
            "rag": {
                "status": "ok",
                "no_answer_reason": None,
                "confidence": 0.62,
                "citations": [CITATION],
                "chunks": [CHUNK],
                "searched": "When is the audit?",
                "llm_timings_ms": {},
                "timings_ms": {"embed": 3.0, "search": 0.4, "llm_total": 9.1, "other": 0.9, "total": 13.4},
                "degraded": [],
                "warnings": [],
                "index_version": 42,
                "explain": None,
                "ignored": [],
            },
        }
    )

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="Unix time.")
    model: str
    choices: list[Choice]
    usage: ChatUsage
    rag: RagReply
