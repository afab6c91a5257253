"""What a chat completion is asked with. Nothing of it comes from a client but text and two checked numbers."""

import hashlib
import secrets
from dataclasses import dataclass

from service.generation.base import LlmCall, Priority
from service.generation.tokens import Messages, estimated_tokens
from service.llm_settings import LlmSettings

_SECRET_BYTES = 32
_SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Chat:
    """What is asked of a model: an answer to messages.

    Attributes:
        max_tokens: longest answer.
        temperature: 0 to 2; None leaves it to the model.
    """

    messages: Messages
    max_tokens: int
    temperature: float | None
    call: LlmCall

    @property
    def characters(self) -> int:
        """Of all messages."""
        return sum(len(message["content"]) for message in self.messages)

    @property
    def prompt_tokens(self) -> int:
        """About as many as the least frugal vocabularies make of the messages."""
        return estimated_tokens(self.messages)


class ChatBodies:
    """Bodies for one server: what only vLLM understands goes to vLLM only."""

    def __init__(self, settings: LlmSettings) -> None:
        self._settings = settings
        # Of this process alone: whoever else uses the server cannot guess the salt of a tenant, and so cannot learn
        # from the time of an answer whether that tenant sent the same text.
        self._secret = secrets.token_bytes(_SECRET_BYTES)

    def answer(self, chat: Chat) -> dict[str, object]:
        """A streamed completion."""
        body: dict[str, object] = {
            "model": self._settings.model,
            "messages": chat.messages,
            "max_tokens": chat.max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if chat.temperature is not None:
            body["temperature"] = chat.temperature
        if self._settings.is_vllm:
            body["cache_salt"] = self._salt(chat.call.tenant)
        return body | self._priority(chat.call.priority)

    def canary(self) -> dict[str, object]:
        """A completion of one token, ahead of all others."""
        messages = [{"role": "user", "content": "."}]
        body = {"model": self._settings.model, "messages": messages, "max_tokens": 1}
        return body | self._priority(Priority.CANARY)

    def tokenize(self, messages: Messages) -> dict[str, object]:
        """A count of what these messages are as a prompt."""
        return {"model": self._settings.model, "messages": messages, "add_generation_prompt": True}

    def _priority(self, priority: Priority) -> dict[str, object]:
        """A vLLM that schedules by arrival refuses every priority but 0, so it is sent none."""
        by_priority = self._settings.priorities or self._settings.managed is not None
        return {"priority": int(priority)} if by_priority and self._settings.is_vllm else {}

    def _salt(self, tenant: str) -> str:
        """As long as vLLM takes it, in characters that it takes."""
        return hashlib.blake2s(tenant.encode(), key=self._secret, digest_size=_SALT_BYTES).hexdigest()
