"""An answer in the form of a chat completion: whole, or chunk by chunk."""

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import orjson
from pydantic import BaseModel

from service.answer import Answer, Citation
from service.api.question import closing_of, opening_of, reply_of
from service.api.schemas.chat import (
    Annotation,
    ChatMessageReply,
    ChatReply,
    ChatUsage,
    Choice,
    RagReply,
    UrlCitation,
)
from service.api.schemas.question import CitationReply
from service.api.sse import unnamed
from service.question import Question, Retrieval

_ELSEWHERE = frozenset({"id", "answer", "finish_reason", "usage"})
_DONE = b"data: [DONE]\n\n"
_TEXT = "\u0001"  # stands for the text of a chunk in the frame that is made once


class ChatForm:
    """The completion of one question.

    Args:
        ignored: see ``RagReply``.
        with_usage: a stream ends with a chunk that has it.
    """

    def __init__(self, question: Question, retrieval: Retrieval, ignored: Sequence[str], *, with_usage: bool) -> None:
        self._question = question
        self._retrieval = retrieval
        self._ignored = list(ignored)
        self._with_usage = with_usage
        self._id, self._created = f"chatcmpl-{uuid.uuid4().hex}", int(time.time())
        self._before, self._after = self._chunk({"content": _TEXT}).split(orjson.dumps(_TEXT))
        self._has_text = False

    def whole(self, answer: Answer) -> ChatReply:
        """All of it at once."""
        rag = reply_of(self._question, self._retrieval, answer).model_dump(exclude=set(_ELSEWHERE))
        message = ChatMessageReply(content=answer.text, annotations=self._annotations(answer))
        return ChatReply(
            id=self._id,
            created=self._created,
            model=self._question.collection,
            choices=[Choice(message=message, finish_reason=answer.finish_reason)],
            usage=_usage(answer),
            rag=RagReply(**rag, ignored=self._ignored),
        )

    def opening(self) -> bytes:
        """The role, and what was found."""
        rag = _without(opening_of(self._question, self._retrieval)) | {"ignored": self._ignored}
        return self._chunk({"role": "assistant", "content": ""}, rag=rag)

    def text(self, text: str) -> bytes:
        """The next piece of the answer, without a model or a dictionary made for it: there are many."""
        self._has_text = True
        return self._before + orjson.dumps(text) + self._after

    def citation(self, citation: Citation) -> bytes:
        """Nothing yet: OpenAI's client joins lists of deltas only if their entries are numbered."""
        return b""

    def closing(self, answer: Answer) -> bytes:
        """What was never shown as text, annotations, the end, usage where it was asked for."""
        frames = [] if self._has_text or not answer.text else [self.text(answer.text)]
        if answer.citations:
            annotations = [annotation.model_dump() for annotation in self._annotations(answer)]
            frames.append(self._chunk({"annotations": annotations}))
        rag = _without(closing_of(answer, self._question))
        rag["citations"] = [CitationReply.of(citation).model_dump() for citation in answer.citations]
        frames.append(self._chunk({}, finish=answer.finish_reason, rag=rag))
        if self._with_usage:
            frames.append(unnamed(self._envelope() | {"choices": [], "usage": _usage(answer).model_dump()}))
        return b"".join([*frames, _DONE])

    def _chunk(self, delta: Mapping[str, object], finish: str | None = None, **more: object) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        usage: dict[str, object] = {"usage": None} if self._with_usage else {}
        return unnamed(self._envelope() | {"choices": [choice]} | usage | more)

    def _envelope(self) -> dict[str, object]:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._question.collection,
        }

    def _annotations(self, answer: Answer) -> list[Annotation]:
        hits = {hit.chunk.id: hit for hit in self._retrieval.hits}
        return [
            Annotation(
                url_citation=UrlCitation(
                    url=hits[citation.chunk_id].url or self._address(citation.document_id),
                    title=hits[citation.chunk_id].title or citation.document_id,
                    start_index=citation.answer_start,
                    end_index=citation.answer_end,
                )
            )
            for citation in answer.citations
        ]

    def _address(self, document_id: str) -> str:
        return f"/v1/collections/{self._question.collection}/documents/{quote(document_id, safe='')}"


def failure_frame(problem: Mapping[str, Any]) -> bytes:
    """The end of a stream that has no answer."""
    return unnamed({"error": problem["error"], "choices": []})


def _usage(answer: Answer) -> ChatUsage:
    return ChatUsage.model_validate(dict(answer.usage))


def _without(told: BaseModel) -> dict[str, object]:
    return told.model_dump(exclude=set(_ELSEWHERE))
