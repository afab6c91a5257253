"""Processor time of the server for each token of a streamed answer, as the difference between long and short ones."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psutil

from service.cli.bench.answer.interview import COLLECTION
from service.cli.bench.answer.kept_connection import KeptConnection, Reply
from service.cli.bench.server import RunningServer

# Of one answer; the difference between the two is measured, and what an answer costs apart from its tokens falls out.
SHORT_TOKENS = 16
LONG_TOKENS = 256
_WARM_UP = 3

Ask = Callable[[str, int], Reply]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way of asking took.

    Attributes:
        events: with text, that came.
        cpu_s: of the server's process, in user and kernel mode, on all its threads.
    """

    events: int
    cpu_s: float


class TokenCost:
    """Asks the same questions for short and for long answers, three ways."""

    def __init__(self, server: RunningServer, questions: Sequence[str]) -> None:
        self._quarry = KeptConnection(server.url, server.headers)
        self._server = psutil.Process(server.pid)
        self._questions = questions

    def measured(self) -> dict[str, float]:
        """Milliseconds for each event with text; of the JSON reply, which has none, for each that a stream has.

        What streaming adds is the difference to the JSON reply, whose tokens are read from the model's server too.
        """
        query, chat = self._difference(self._query, _query_texts), self._difference(self._chat, _chat_texts)
        whole = self._difference(self._whole, lambda _: 0)
        json_ms = _milliseconds(whole.cpu_s, query.events)
        query_ms, chat_ms = (_milliseconds(way.cpu_s, way.events) for way in (query, chat))
        return {
            "json_cpu_ms": json_ms,
            "query_cpu_ms": query_ms,
            "chat_cpu_ms": chat_ms,
            "query_added_cpu_ms": round(query_ms - json_ms, 4),
            "chat_added_cpu_ms": round(chat_ms - json_ms, 4),
            "events_each": query.events / len(self._questions),
        }

    def close(self) -> None:
        """End the connection."""
        self._quarry.close()

    def _difference(self, ask: Ask, texts: Callable[[Reply], int]) -> Cost:
        for question in self._questions[:_WARM_UP]:
            ask(question, LONG_TOKENS)
        short, long = (self._taken(ask, texts, tokens) for tokens in (SHORT_TOKENS, LONG_TOKENS))
        return Cost(long.events - short.events, long.cpu_s - short.cpu_s)

    def _taken(self, ask: Ask, texts: Callable[[Reply], int], tokens: int) -> Cost:
        before = self._cpu_s()
        replies = [ask(question, tokens) for question in self._questions]
        return Cost(sum(map(texts, replies)), self._cpu_s() - before)

    def _cpu_s(self) -> float:
        times = self._server.cpu_times()
        return float(times.user + times.system)

    def _query(self, question: str, tokens: int) -> Reply:
        return self._quarry.post("/v1/query", _query_body(question, tokens) | {"stream": True})

    def _whole(self, question: str, tokens: int) -> Reply:
        return self._quarry.post("/v1/query", _query_body(question, tokens))

    def _chat(self, question: str, tokens: int) -> Reply:
        messages = [{"role": "user", "content": question}]
        body = {"model": COLLECTION, "messages": messages, "max_tokens": tokens, "stream": True}
        return self._quarry.post("/v1/chat/completions", body | {"rag": {"on_failure": "fail"}})


def _query_body(question: str, tokens: int) -> dict[str, object]:
    return {"query": question, "collection": COLLECTION, "max_tokens": tokens, "on_failure": "fail"}


def _query_texts(reply: Reply) -> int:
    return sum(event.name == "token" for event in reply.events())


def _chat_texts(reply: Reply) -> int:
    return sum(bool(_content(event.data)) for event in reply.events())


def _content(chunk: Mapping[str, Any]) -> str | None:
    choices = chunk.get("choices")
    content: str | None = choices[0]["delta"].get("content") if choices else None
    return content


def _milliseconds(seconds: float, events: int) -> float:
    return round(1000 * seconds / events, 4)
