"""Judged: what a reply is worth, whole or as a stream of server-sent events.

A reply may have any shape; each part is read as it ought to be, and one of `MALFORMED` says that it was another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from loadtests.route import Route
from loadtests.sample import Outcome

# What reading raises where a value is of another type than it ought to be.
MALFORMED = (AttributeError, LookupError, TypeError, ValueError)
_SHED = {"overloaded", "rate_limited"}
_DETAIL_CHARACTERS = 200
_SAID = {"ok", "no_answer", "partial", "blocked"}
_DONE = b"[DONE]"


@dataclass(frozen=True, slots=True)
class Judged:
    """As `Sample` has it."""

    outcome: Outcome
    status: int | None
    is_degraded: bool = False
    detail: str = ""


def refused(status: int, body: bytes) -> Judged:
    """A reply whose status is no success: a shed by the code of its problem, which each route has at the same place."""
    try:
        problem = orjson.loads(body)
    except ValueError:
        problem = None
    return _failed(status, problem, body)


def _failed(status: int, problem: object, body: bytes) -> Judged:
    error = problem.get("error") if isinstance(problem, Mapping) else None
    code = error.get("code") if isinstance(error, Mapping) else None
    outcome = Outcome.SHED if isinstance(code, str) and code in _SHED else Outcome.ERROR
    return Judged(outcome, status, detail=body[:_DETAIL_CHARACTERS].decode(errors="replace"))


def whole(route: Route, status: int, body: bytes) -> Judged:
    """A reply that came at once."""
    try:
        told = orjson.loads(body)
        match route:
            case Route.SEARCH:
                is_one, degraded = isinstance(told["chunks"], list), False
            case Route.INGEST:
                is_one, degraded = told["status"] in {"created", "updated", "unchanged"}, False
            case _:
                is_one, degraded = told["status"] in _SAID, bool(told["degraded"])
    except MALFORMED:
        return broken(status, f"no reply of {route}: {body[:_DETAIL_CHARACTERS]!r}")
    return Judged(Outcome.OK, status, degraded) if is_one else broken(status, f"status is {told.get('status')!r}")


def broken(status: int, detail: str) -> Judged:
    """A success by its status that is none."""
    return Judged(Outcome.BROKEN, status, detail=detail)


class Stream(Protocol):
    """Takes a stream frame by frame."""

    def take(self, frame: bytes) -> bool:
        """Whether the frame has text of the answer."""

    def judged(self, status: int) -> Judged:
        """What it was, now that it has ended in order; raises one of `MALFORMED`."""


class QueryStream:
    """The events of `/v1/query`: `retrieval`, then `token` and `citation`, then `done` and nothing more, or `error`."""

    def __init__(self) -> None:
        self._events: list[str] = []
        self._texts: list[str] = []
        self._last: Mapping[str, Any] = {}

    def take(self, frame: bytes) -> bool:
        """Whether the frame has text of the answer.

        Raises:
            MALFORMED: it is no event of this route.
        """
        name, data = _fields(frame)
        if not name:
            return False
        self._events.append(name)
        if name == "token":
            self._texts.append(orjson.loads(data)["text"])
            return True
        if name in {"done", "error"}:
            self._last = orjson.loads(data)
        return False

    def judged(self, status: int) -> Judged:
        """A stream is whole when `done` is its last event and has the text that came before."""
        ends = [name for name in self._events if name in {"done", "error"}]
        if ends == ["error"] and self._events[-1] == "error":
            return _failed(int(self._last["status"]), self._last, orjson.dumps(self._last))
        if ends != ["done"] or self._events[-1] != "done" or self._events[0] != "retrieval":
            return broken(status, f"events are {', '.join(dict.fromkeys(self._events)) or 'none'}")
        if self._last.get("status") == "ok" and self._last.get("answer") != "".join(self._texts):
            return broken(status, "the answer of `done` is not the text of the tokens")
        return Judged(Outcome.OK, status, bool(self._last.get("degraded")))


class ChatStream:
    """The chunks of `/v1/chat/completions`: text, one with a finish reason, `[DONE]` and nothing more."""

    def __init__(self) -> None:
        self._finish: str | None = None
        self._is_degraded = False
        self._problem: Mapping[str, Any] | None = None
        self._is_done = False
        self._has_more = False

    def take(self, frame: bytes) -> bool:
        """Whether the frame has text of the answer.

        Raises:
            MALFORMED: it is no chunk.
        """
        _, data = _fields(frame)
        if not data:
            return False
        self._has_more = self._is_done
        if data == _DONE:
            self._is_done = True
            return False
        chunk = orjson.loads(data)
        if "error" in chunk:
            self._problem = chunk
            return False
        return self._is_text(chunk)

    def _is_text(self, chunk: Mapping[str, Any]) -> bool:
        if not chunk["choices"]:
            return False
        choice = chunk["choices"][0]
        self._finish = choice["finish_reason"] or self._finish
        self._is_degraded |= bool(chunk.get("rag", {}).get("degraded"))
        return bool(choice["delta"].get("content"))

    def judged(self, status: int) -> Judged:
        """A stream is whole when it has a finish reason and `[DONE]` is last."""
        if self._problem is not None:
            if not isinstance(self._problem["error"], Mapping):
                return broken(status, f"error is {self._problem['error']!r}")
            return _failed(status, self._problem, orjson.dumps(self._problem))
        if not self._finish or not self._is_done or self._has_more:
            ended = "with" if self._is_done and not self._has_more else "without"
            return broken(status, f"finish_reason is {self._finish}, {ended} [DONE] at the end")
        return Judged(Outcome.OK, status, self._is_degraded)


def _fields(frame: bytes) -> tuple[str, bytes]:
    """Event and data of a frame; comments have neither."""
    name, data = b"", b""
    for line in frame.strip().split(b"\n"):
        if line.startswith(b"event: "):
            name = line[len(b"event: ") :]
        elif line.startswith(b"data: "):
            data = line[len(b"data: ") :]
    return name.decode(), data
