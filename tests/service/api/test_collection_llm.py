"""The generator that a collection prefers."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

NOBODY = "http://127.0.0.1:9"
LLMS = {"main": {"url": NOBODY, "model": "tiny"}, "other": {"url": NOBODY, "model": "tiny"}}
QUESTION = {"query": "When do the honey bees sleep?", "collection": "docs"}
TEXT = "The honey bees of the northern meadow sleep in winter."


def degraded(api: httpx.Client, **asked: str) -> list[str]:
    """What was lost: no language model is there, so `llm` wherever one was chosen."""
    lost: list[str] = api.post("/v1/query", json=QUESTION | asked).json()["degraded"]
    return lost


def test_a_collection_has_its_own(open_api: OpenApi) -> None:
    with open_api(llm=LLMS) as api:
        assert api.put("/v1/collections/docs", json={"llm": "main"}).json()["llm"] == "main"
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        assert degraded(api) == ["llm"]
        assert degraded(api, llm="extractive") == []
        assert api.put("/v1/collections/docs", json={"llm": None}).json()["llm"] == "main"
        assert api.put("/v1/collections/docs", json={"llm": "other"}).json()["llm"] == "other"
        assert api.put("/v1/collections/docs", json={"llm": "extractive"}).status_code == 200
        assert degraded(api) == []
        assert degraded(api, llm="main") == ["llm"]
        api.put("/v1/aliases/latest", json={"collection": "docs"})
        assert api.get("/v1/collections/latest").json()["llm"] == "extractive"
        assert [entry["llm"] for entry in api.get("/v1/collections").json()["data"]] == ["extractive"]
    with open_api(llm=LLMS) as api:
        assert api.get("/v1/collections/docs").json()["llm"] == "extractive"
        assert api.put("/v1/collections/docs", json={"llm": ""}).json()["llm"] is None


def test_it_stands_above_the_default_of_the_server(open_api: OpenApi) -> None:
    with open_api(llm=LLMS, answer={"llm": "main"}) as api:
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        assert degraded(api) == ["llm"]
        api.put("/v1/collections/docs", json={"llm": "extractive"})
        assert degraded(api) == []


def test_an_unknown_one_is_refused_before_anything_is_made(open_api: OpenApi, problem: Problem) -> None:
    with open_api(llm=LLMS) as api:
        body = problem(api.put("/v1/collections/docs", json={"llm": "gpt"}), 400, "invalid_request")
        assert body["detail"] == "llm 'gpt' is not configured; there are extractive, main, other"
        assert body["error"]["param"] == "llm"
        problem(api.get("/v1/collections/docs"), 404, "not_found")


def test_one_that_is_no_longer_configured_gives_way_to_the_default(
    open_api: OpenApi, caplog: pytest.LogCaptureFixture
) -> None:
    with open_api(llm=LLMS) as api:
        api.put("/v1/collections/docs", json={"llm": "other"})
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
    with open_api() as api, caplog.at_level(logging.WARNING, "quarry.generators"):
        assert degraded(api) == degraded(api) == []
        assert api.get("/v1/collections/docs").json()["llm"] == "other"
        assert [record.getMessage() for record in caplog.records] == [
            "llm 'other' of collection docs is not configured: extractive answers"
        ]
