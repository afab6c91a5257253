"""Chat completions as they are streamed, in OpenAI's shape: what the frames hold."""

from typing import Literal

from pydantic import BaseModel, Field

from service.api.schemas.chat import Annotation, ChatUsage
from service.api.schemas.events import Ended, Found
from service.api.schemas.problem import ProblemError
from service.api.schemas.question import CitationReply


class ChatDelta(BaseModel):
    """What is new."""

    role: Literal["assistant"] | None = Field(None, description="Of the first.")
    content: str | None = Field(None, description="More of the answer.")
    annotations: list[Annotation] | None = Field(None, description="All of them, after the answer.")


class ChunkChoice(BaseModel):
    """The only one."""

    index: Literal[0]
    delta: ChatDelta
    logprobs: None
    finish_reason: str | None = Field(description="Of the last.")


class FoundInChat(Found):
    """Of the first chunk."""

    ignored: list[str]


class EndedInChat(Ended):
    """Of the last."""

    citations: list[CitationReply]


class ChatChunk(BaseModel):
    """A frame of an answer; with `include_usage` the one before `[DONE]` has no choices."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = Field(None, description="Where `include_usage` asks for it.")
    rag: FoundInChat | EndedInChat | None = None


class ChatFailure(BaseModel):
    """The last frame of a stream that has no answer; no `[DONE]` follows."""

    error: ProblemError
    choices: list[ChunkChoice] = Field(max_length=0)
