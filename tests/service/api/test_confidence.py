"""How sure quotes are, and from where on they are an answer."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

QUESTION = {"query": "When do the honey bees sleep?", "collection": "docs"}
TEXT = "The honey bees of the northern meadow sleep in winter."


def asked(api: httpx.Client, **body: object) -> dict[str, Any]:
    reply: dict[str, Any] = api.post("/v1/query", json=QUESTION | body).raise_for_status().json()
    return reply


def test_a_collection_has_its_own_threshold(open_api: OpenApi) -> None:
    with open_api() as api:
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        answer = asked(api)
        assert answer["status"] == "ok"
        assert 0.3 < answer["confidence"] < 1
        assert api.get("/v1/collections/docs").json()["min_confidence"] is None
        above = {"min_confidence": 1.0}
        assert api.put("/v1/collections/docs", json=above).json()["min_confidence"] == 1.0
        none = asked(api)
        assert (none["status"], none["confidence"]) == ("no_answer", answer["confidence"])
        assert none["no_answer_reason"] == "no_relevant_passage"
        assert api.put("/v1/collections/docs", json={"min_confidence": None}).json()["min_confidence"] == 1.0
    with open_api(answer={"min_confidence": 0.99}) as api:
        assert asked(api)["status"] == "no_answer"
        exactly = {"min_confidence": answer["confidence"]}
        assert api.put("/v1/collections/docs", json=exactly).status_code == 200
        assert asked(api)["status"] == "ok"
        assert api.put("/v1/collections/docs", json={"min_confidence": ""}).json()["min_confidence"] is None
        assert asked(api)["status"] == "no_answer"


def test_it_is_known_to_streams_and_chats_too(open_api: OpenApi) -> None:
    with open_api() as api:
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        confidence = asked(api)["confidence"]
        streamed = api.post("/v1/query", json=QUESTION | {"stream": True}).text
        assert f'"confidence":{confidence}' in streamed
        chat = {"model": "docs", "messages": [{"role": "user", "content": QUESTION["query"]}]}
        assert api.post("/v1/chat/completions", json=chat).json()["rag"]["confidence"] == confidence


def test_the_sentence_that_weighed_most_has_the_highest_score(open_api: OpenApi) -> None:
    with open_api() as api:
        text = f"When the bees of the southern meadow do sleep is not known. {TEXT}"
        api.put("/v1/collections/docs/documents/bees", json={"text": text})
        first, second = asked(api)["citations"]
        assert (first["document_start"], second["quote"]) == (0, TEXT)
        assert second["score"] > first["score"]
        streamed = api.post("/v1/query", json=QUESTION | {"stream": True}).text
        assert f'"score":{second["score"]}' in streamed


def test_nobody_is_sure_of_nothing(open_api: OpenApi) -> None:
    with open_api() as api:
        api.put("/v1/collections/docs")
        assert asked(api)["confidence"] is None
        assert asked(api, generate=False)["confidence"] is None


@pytest.mark.parametrize("value", [-0.1, 1.1, "high", True, [0.5]])
def test_what_is_no_share_is_refused(open_api: OpenApi, problem: Problem, value: object) -> None:
    with open_api() as api:
        body = problem(api.put("/v1/collections/docs", json={"min_confidence": value}), 422, "invalid_request")
        assert body["error"]["param"] == "min_confidence"
        problem(api.get("/v1/collections/docs"), 404, "not_found")
