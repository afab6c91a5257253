"""One question three ways: streamed, as one JSON reply, and its prompt sent straight to the model's server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from indexes.base import Chunk, Hit
from service.cli.bench.answer.kept_connection import Event, FailedReplyError, KeptConnection
from service.cli.bench.answer.llm import Llm
from service.cli.bench.server import RunningServer
from service.generation.prompt import build_messages
from service.generation.tokens import Messages
from service.passages import chosen
from service.settings import AnswerSettings

COLLECTION = "bench"
_MAX_TOKENS = 64
_DEADLINE_MS = 600_000


@dataclass(frozen=True, slots=True)
class Answered:
    """What the client saw of an answer, and what the server says of it.

    Attributes:
        first_s: to the first text; of a JSON reply there is none before its end.
        total_s: to the end of the body.
        stages_s: by the server's own stopwatch.
        prompt_tokens: as the model's server counted them; None where it does not.
    """

    first_s: float
    total_s: float
    stages_s: Mapping[str, float]
    prompt_tokens: int | None

    @property
    def retrieval_s(self) -> float:
        """Forward and search, which are nobody's overhead."""
        return self.stages_s.get("embed", 0.0) + self.stages_s.get("search", 0.0)


class Interview:
    """Asks a Quarry and the model's server behind it."""

    def __init__(self, quarry: RunningServer, llm: Llm, policy: AnswerSettings) -> None:
        self._quarry = KeptConnection(quarry.url, quarry.headers)
        self._llm = KeptConnection(llm.url)
        self._model = llm
        self._policy = policy

    def prompt(self, question: str) -> Messages | None:
        """What the model's server will be sent for the question; None where no chunk is near enough to it."""
        found = orjson.loads(self._quarry.post("/v1/search", {"query": question, "collection": COLLECTION}).body)
        passages = chosen([_hit(chunk) for chunk in found["chunks"]], self._policy, wants_llm=True).passages
        return build_messages(question, passages) if passages else None

    def streamed(self, question: str) -> Answered:
        """By POST /v1/query, as server-sent events."""
        reply = self._quarry.post("/v1/query", _question(question) | {"stream": True})
        events = list(reply.events())
        if not events or events[-1].name != "done":
            raise FailedReplyError(f"the stream ended with {events[-1:]}")
        first = next(event for event in events if event.name == "token")
        return _answered(first.at_s, reply.total_s, events[-1].data)

    def whole(self, question: str) -> Answered:
        """By POST /v1/query, as JSON."""
        reply = self._quarry.post("/v1/query", _question(question))
        return _answered(reply.total_s, reply.total_s, orjson.loads(reply.body))

    def direct(self, messages: Messages) -> Answered:
        """By the model's server itself, streamed."""
        body = {
            "model": self._model.model,
            "messages": messages,
            "max_tokens": _MAX_TOKENS,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if self._model.server == "vllm":
            body["cache_salt"] = "bench"  # nothing that Quarry made it read is cached for us, nor the other way round
        reply = self._llm.post("/v1/chat/completions", body)
        events = list(reply.events())
        usage = [event.data["usage"] for event in events if event.data.get("usage")]
        tokens = usage[-1].get("prompt_tokens") if usage else None
        return Answered(_first_text_s(events), reply.total_s, {}, tokens)

    def close(self) -> None:
        """End the connections."""
        self._quarry.close()
        self._llm.close()


def _question(question: str) -> dict[str, object]:
    """With all the time there is, so that nothing is left out of the prompt, and no other generator answers."""
    asked = {"query": question, "collection": COLLECTION, "max_tokens": _MAX_TOKENS, "temperature": 0}
    return asked | {"deadline_ms": _DEADLINE_MS, "on_failure": "fail"}


def _answered(first_s: float, total_s: float, reply: Mapping[str, Any]) -> Answered:
    stages_s = {stage: milliseconds / 1000 for stage, milliseconds in reply["timings_ms"].items()}
    return Answered(first_s, total_s, stages_s, reply["usage"].get("prompt_tokens"))


def _first_text_s(events: Sequence[Event]) -> float:
    for event in events:
        for choice in event.data.get("choices", ()):
            if choice["delta"].get("content"):
                return event.at_s
    raise FailedReplyError("the model's server wrote nothing")


def _hit(chunk: Mapping[str, Any]) -> Hit:
    found = Chunk(chunk["document_id"], 0, chunk["text"], chunk["start"], chunk["end"], tuple(chunk["heading_path"]))
    return Hit(found, chunk["title"], chunk["url"], chunk["score"], chunk["scores"])
