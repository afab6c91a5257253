"""The JSON of the real server's replies, field by field."""

import time
import uuid
from typing import Any

from loadtests.fake_vllm.bodies import Chat
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.sequence import Sequence

FINGERPRINT = "vllm-0.32.0-fake"
DONE = b"data: [DONE]\n\n"


class Replies:
    """The parts of the reply to one request."""

    def __init__(self, sequence: Sequence, options: Options) -> None:
        self._sequence = sequence
        self._options = options
        self._chat = isinstance(sequence.body, Chat)
        self._created = int(time.time())
        self._id = f"{'chatcmpl' if self._chat else 'cmpl'}-{uuid.uuid4().hex[:16]}"

    def whole(self) -> dict[str, Any]:
        """The reply that is not streamed."""
        text, shared = "".join(self._sequence.answer), {"stop_reason": None, "token_ids": None, "routed_experts": None}
        ended = {"logprobs": None, "finish_reason": self._sequence.finish, **shared}
        nothing = ("refusal", "annotations", "audio", "function_call", "reasoning")
        said = (
            {"message": {"role": "assistant", "content": text, **dict.fromkeys(nothing)}}
            if self._chat
            else {"text": text}
        )
        body = self._envelope("chat.completion" if self._chat else "text_completion")
        body["choices"] = [{"index": 0, **said, **ended}]
        body |= {"service_tier": None, "system_fingerprint": FINGERPRINT, "usage": self._usage()}
        return body | {"metrics": self._metrics(keep_empty=True) if self._options.per_request_metrics else None}

    def role(self) -> dict[str, Any]:
        """The first chunk of a chat, which has no text."""
        return self._chunk({"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None})

    def token(self, text: str) -> dict[str, Any]:
        """A chunk of text."""
        return self._chunk({**self._text(text), "logprobs": None, "finish_reason": None, "token_ids": None})

    def last(self, text: str) -> dict[str, Any]:
        """The chunk with the finish reason; an answer that stops has no text left for it."""
        finish = {"logprobs": None, "finish_reason": self._sequence.finish, "stop_reason": None, "token_ids": None}
        chunk = self._chunk({**self._text(text), **finish})
        if not self._sequence.body.stream_options.include_usage:
            chunk["system_fingerprint"] = FINGERPRINT
        return chunk

    def usage(self) -> dict[str, Any]:
        """The chunk without choices."""
        chunk = self._envelope(self._chunk_kind) | {"choices": [], "usage": self._usage()}
        chunk["system_fingerprint"] = FINGERPRINT
        return chunk | ({"metrics": self._metrics()} if self._options.per_request_metrics else {})

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self._chat else "text_completion"

    def _text(self, text: str) -> dict[str, Any]:
        return {"delta": {"content": text}} if self._chat else {"text": text}

    def _chunk(self, choice: dict[str, Any]) -> dict[str, Any]:
        return self._envelope(self._chunk_kind) | {"choices": [{"index": 0, **choice}]}

    def _envelope(self, kind: str) -> dict[str, Any]:
        return {"id": self._id, "object": kind, "created": self._created, "model": self._options.model}

    def _usage(self) -> dict[str, Any]:
        sequence = self._sequence
        prompt, completion = len(sequence.prompt), sequence.completion_tokens
        counts: dict[str, Any] = {
            "prompt_tokens": prompt,
            "total_tokens": prompt + completion,
            "completion_tokens": completion,
        }
        if self._options.prompt_tokens_details:
            details = {"cached_tokens": sequence.cached, "created_cache_tokens": sequence.created}
            counts["prompt_tokens_details"] = details
        return counts

    def _metrics(self, keep_empty: bool = False) -> dict[str, float | None]:
        """The server's own milliseconds; a stream leaves out those there are none of."""
        at, tokens = self._sequence.moments, self._sequence.completion_tokens
        decoding, inference = at.last_token - at.first_token, at.last_token - at.scheduled
        measured = {
            "time_to_first_token_ms": (at.first_token - at.scheduled) * 1000,
            "generation_time_ms": decoding * 1000,
            "queue_time_ms": (at.scheduled - at.arrived) * 1000,
            "mean_itl_ms": decoding / (tokens - 1) * 1000 if tokens > 1 else None,
            "tokens_per_second": tokens / inference if inference > 0 else None,
        }
        return {name: value for name, value in measured.items() if keep_empty or value is not None}
