"""What is no chat completion, and the list of models."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from models.base import Reranker

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ASKED = [{"role": "user", "content": "When do bees sleep?"}]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.fixture
def bees(api: httpx.Client) -> httpx.Client:
    assert api.put("/v1/collections/docs/documents/bees", json={"text": "Bees sleep in winter."}).status_code == 201
    return api


REFUSED = [
    ({"n": 2}, "n", "n must be 1"),
    ({"stop": ["\n"]}, "stop", "stop sequences are not taken"),
    ({"tools": [{"type": "function"}]}, "tools", "leave tools out"),
    ({"functions": [{}]}, "functions", "leave functions out"),
    ({"logprobs": True}, "logprobs", "no logprobs"),
    ({"modalities": ["text", "audio"]}, "modalities", "answers are text"),
    ({"response_format": {"type": "json_object"}}, "response_format", "type text"),
    ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages", "messages[0].content[0] is of type 'image_url'"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages", "messages[0].content[0]"),
    ({"messages": [{"role": "tool", "content": "x"}, *ASKED]}, "messages", "messages[0].role is 'tool'"),
    ({"messages": [{"role": "assistant", "tool_calls": [{}]}, *ASKED]}, "messages", "messages[0] calls a tool"),
    ({"messages": [{"role": "system", "content": "x"}]}, "messages", "no question"),
    ({"messages": [*ASKED, {"role": "assistant", "content": "In"}]}, "messages", "must be user, not assistant"),
    ({"messages": [{"role": "user", "content": None}]}, "messages", "the last message is blank"),
    ({"messages": [{"role": "user", "content": " "}]}, "messages", "the last message is blank"),
    ({"messages": [{"role": "user", "content": "x" * 9000}]}, "messages", "the limit is 8192"),
    ({"rag": {"llm": "gpt"}}, "llm", "llm 'gpt' is not configured"),
]


@pytest.mark.parametrize(("body", "param", "said"), REFUSED)
def test_what_would_be_answered_wrongly_is_refused(
    bees: httpx.Client, problem: Problem, body: dict[str, Any], param: str, said: str
) -> None:
    reply = bees.post("/v1/chat/completions", json={"model": "docs", "messages": ASKED} | body)
    found = problem(reply, 400, "invalid_request")
    assert found["error"]["param"] == param
    assert said in found["detail"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages.0.role"),
        ({"rag": {"topk": 1}}, "rag.topk"),
        ({"rag": {"collection": "docs"}}, "rag.collection"),
        ({"rag": {"top_k": 0}}, "rag.top_k"),
        ({"temperature": 9}, "temperature"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"stream": "yes"}, "stream"),
    ],
)
def test_what_breaks_the_schema_is_named(
    bees: httpx.Client, problem: Problem, body: dict[str, Any], param: str
) -> None:
    reply = bees.post("/v1/chat/completions", json={"model": "docs", "messages": ASKED} | body)
    assert problem(reply, 422, "invalid_request")["error"]["param"] == param


def test_a_filter_that_is_none_is_named(bees: httpx.Client, problem: Problem) -> None:
    body = {"model": "docs", "messages": ASKED, "rag": {"filters": {"type": "like"}}}
    problem(bees.post("/v1/chat/completions", json=body), 422, "invalid_request")


@pytest.mark.parametrize("model", ["gpt-4o", "a/b", "", "hashing"])
def test_a_model_that_is_no_collection(bees: httpx.Client, problem: Problem, model: str) -> None:
    for stream in (False, True):
        body = {"model": model, "messages": ASKED, "stream": stream}
        found = problem(bees.post("/v1/chat/completions", json=body), 404, "not_found")
        assert found["error"]["param"] == "model"
        assert repr(model) in found["detail"]


VENDORS = {"user": "u", "tools": [], "stop": None, "n": 1, "stream": None, "parallel_tool_calls": True, "rag": {}}


def test_fields_of_vendors_are_passed_over(bees: httpx.Client) -> None:
    body = {"model": "docs", "messages": ASKED, "response_format": {"type": "text"}, "stop": [], "metadata": {"a": "b"}}
    reply = bees.post("/v1/chat/completions", json=VENDORS | body)
    assert reply.status_code == 200, reply.text
    assert reply.json()["rag"]["ignored"] == []


def test_an_alias_is_a_model_too(bees: httpx.Client) -> None:
    bees.put("/v1/aliases/insects", json={"collection": "docs"})
    reply = bees.post("/v1/chat/completions", json={"model": "insects", "messages": ASKED}).json()
    assert (reply["model"], reply["rag"]["status"]) == ("insects", "ok")
    url = reply["choices"][0]["message"]["annotations"][0]["url_citation"]["url"]
    assert url == "/v1/collections/insects/documents/bees"
    assert bees.get(url).json()["id"] == "bees"


def test_models_are_what_may_be_named(
    open_api: Callable[..., AbstractContextManager[httpx.Client]], problem: Problem, overlap: Reranker
) -> None:
    with open_api(rerank={"model": overlap.info.name}) as api:
        api.put("/v1/collections/docs")
        api.put("/v1/collections/hashing")
        api.put("/v1/aliases/insects", json={"collection": "docs"})
        listed = api.get("/v1/models").json()
        assert listed["object"] == "list"
        assert {model["id"]: model["uses"] for model in listed["data"]} == {
            "docs": ["chat"], "hashing": ["chat", "embeddings"], "insects": ["chat"], "overlap": ["rerank"],
        }  # fmt: skip
        assert len(listed["data"]) == 4
        for model in listed["data"]:
            assert api.get(f"/v1/models/{model['id']}").json() == model
            assert (model["object"], model["owned_by"], model["created"]) == ("model", "quarry", 0)
        for missing in ("gpt-4o", "BAAI/bge-m3", "BAAI%2Fbge-m3"):
            found = problem(api.get(f"/v1/models/{missing}"), 404, "not_found")
            assert repr(missing.replace("%2F", "/")) in found["detail"]
