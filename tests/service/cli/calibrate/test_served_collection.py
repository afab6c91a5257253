"""What is asked of a server, before one that follows a script."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from service.cli.calibrate.served_collection import NotCalibratedError, ServedCollection
from service.cli.eval.asked import Kind, Question
from service.cli.eval.asker import Asker, RefusedError
from service.cli.eval.dataset import Query

REPLY: dict[str, Any] = {"status": "ok", "confidence": 0.5, "chunks": [{}], "degraded": []}


def question(kind: Kind, name: str) -> Question:
    return Question(kind, Query(f"list.txt: {name}", name))


QUESTIONS = [question("answerable", "a"), question("unanswerable", "b"), question("foreign", "c")]


@contextmanager
def unwatched(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    yield lambda: None


def collection(handle: Callable[[httpx.Request], httpx.Response]) -> ServedCollection:
    http = httpx.Client(transport=httpx.MockTransport(handle), base_url="http://test")
    return ServedCollection(Asker(http, 1, unwatched), "d ocs")


def test_the_generator_that_quotes_is_asked_and_nothing_may_be_left_out() -> None:
    bodies = []

    def handle(request: httpx.Request) -> httpx.Response:
        bodies.append(json.loads(request.content))
        return httpx.Response(200, json=REPLY)

    found = collection(handle).confidences(QUESTIONS)
    assert bodies == [
        {"query": name, "collection": "d ocs", "llm": "extractive", "on_failure": "fail"} for name in ("a", "b", "c")
    ]
    assert [values.tolist() for values in (found.answerable, found.unanswerable, found.foreign)] == [[0.5]] * 3


@pytest.mark.parametrize(
    ("changes", "confidence"),
    [
        ({"status": "no_answer", "confidence": 0.1}, 0.1),
        ({"status": "no_answer", "confidence": 0}, 0.0),
        ({"status": "no_answer", "confidence": None, "chunks": []}, 0.0),
    ],
)
def test_what_is_not_answered_has_a_confidence_too(changes: dict[str, Any], confidence: float) -> None:
    found = collection(lambda _: httpx.Response(200, json=REPLY | changes)).confidences(QUESTIONS[:1])
    assert found.answerable.tolist() == [confidence]


@pytest.mark.parametrize("changes", [{"confidence": None}, {"confidence": "high"}, {"degraded": ["lexical"]}])
def test_a_reply_without_its_whole_confidence_ends_it(changes: dict[str, Any]) -> None:
    with pytest.raises(NotCalibratedError, match=r"list.txt: a: the server does not say how sure it is"):
        collection(lambda _: httpx.Response(200, json=REPLY | changes)).confidences(QUESTIONS)


def test_what_is_refused_of_a_question_is_told_of_each() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        name = json.loads(request.content)["query"]
        return httpx.Response(200, json=REPLY) if name == "b" else httpx.Response(400, json={"detail": f"no {name}"})

    many = [*QUESTIONS, *(question("foreign", str(number)) for number in range(5))]
    with pytest.raises(NotCalibratedError) as raised:
        collection(handle).confidences(many)
    assert str(raised.value).startswith("7 of 8 questions were refused: list.txt: a: the server says 400: no a; ")
    assert str(raised.value).endswith("list.txt: 2: the server says 400: no 2; and 2 more")


@pytest.mark.parametrize("status", [401, 403, 404, 500, 504])
def test_what_is_refused_of_all_ends_it_at_once(status: int) -> None:
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status)

    with pytest.raises(RefusedError, match=f"the server says {status}"):
        collection(handle).confidences([question("foreign", str(number)) for number in range(1000)])
    assert len(asked) < 20


def test_the_threshold_goes_to_the_collection() -> None:
    sent = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append((request.method, request.url.raw_path.decode(), json.loads(request.content)))
        return httpx.Response(200, json={})

    collection(handle).set(0.3125)
    assert sent == [("PUT", "/v1/collections/d%20ocs", {"min_confidence": 0.3125})]
