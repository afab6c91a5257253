"""Queries as the embedder is given them, on the routes that ask."""

import unicodedata
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from models.hashing import HashingEmbedder

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

ROUTES = ("/v1/search", "/v1/query")
PLAIN = "Wann \u00f6ffnet das Caf\u00e9?"
# The same to every reader; the hashing embedder sees other words in each of them.
LOOK_ALIKE = [
    unicodedata.normalize("NFD", PLAIN),
    "\ufeffWann \u00f6ff\u00adnet\n das\u200b Caf\u00e9\u200d?",
    "  Wann\t\u00f6ffnet\u00a0das Caf\u0065\u0301?\x00",
]


@pytest.fixture
def cafe(api: httpx.Client) -> httpx.Client:
    for i, text in enumerate(
        ("Das Caf\u00e9 \u00f6ffnet um neun.", "Das Amt schlie\u00dft um drei.", "Bienen schlafen.")
    ):
        api.put(f"/v1/collections/default/documents/d{i}", json={"text": text})
    return api


def asked(api: httpx.Client, route: str, query: str, **body: object) -> dict[str, Any]:
    reply = api.post(route, json={"query": query, "explain": True} | body)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("query", LOOK_ALIKE, ids=ascii)
def test_queries_that_look_alike_find_the_same(cafe: httpx.Client, route: str, query: str) -> None:
    plain, other = asked(cafe, route, PLAIN), asked(cafe, route, query)
    assert plain["explain"]["query"]["steps"] == []
    assert [(chunk["id"], chunk["score"]) for chunk in other["chunks"]] == [
        (chunk["id"], chunk["score"]) for chunk in plain["chunks"]
    ]
    reading = other["explain"]["query"]
    assert reading["text"] == PLAIN
    assert reading["steps"][-1]["text"] == PLAIN
    assert reading["steps"][0]["before"] == len(query)
    assert (reading["prompt"], reading["tokens"], reading["read_tokens"]) == ("", 4, 4)


def test_queries_that_look_alike_share_an_entry_of_the_cache(cafe: httpx.Client) -> None:
    for query in (PLAIN, *LOOK_ALIKE):
        asked(cafe, "/v1/search", query)
    lookups = [line for line in cafe.get("/metrics").text.splitlines() if "quarry_query_cache_lookups_total{" in line]
    assert sorted(float(line.split()[-1]) for line in lookups) == [1.0, 3.0]


def test_what_was_searched_for_is_said(cafe: httpx.Client) -> None:
    assert asked(cafe, "/v1/query", LOOK_ALIKE[1])["searched"] == PLAIN
    streamed = cafe.post("/v1/query", json={"query": LOOK_ALIKE[1], "stream": True}).text
    assert f'"searched":"{PLAIN}"' in streamed


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("query", [" ", "\u200b", "\x00\u00ad\n", "\u2060 \ufeff"], ids=ascii)
def test_a_query_with_nothing_to_see_is_blank(api: httpx.Client, problem: Problem, route: str, query: str) -> None:
    refused = problem(api.post(route, json={"query": query}), 400, "invalid_request")
    assert (refused["detail"], refused["error"]["param"]) == ("query is blank", "query")


@pytest.mark.parametrize("route", ROUTES)
def test_an_end_that_the_embedder_does_not_read_is_said(open_api: OpenApi, route: str) -> None:
    with open_api(HashingEmbedder(max_tokens=8)) as api:
        api.put("/v1/collections/default", json={"chunking": {"size": 16, "overlap": 0}})
        api.put("/v1/collections/default", json={})
        whole = asked(api, route, "one two three four five six seven eight")
        assert (whole["warnings"], whole["explain"]["query"]["tokens"]) == ([], 8)
        cut = asked(api, route, "one two three four five six seven eight nine ten")
        said = "the query has 10 tokens; the embedding model read the first 8"
        assert cut["warnings"] == [{"code": "query_truncated", "message": said}]
        assert (cut["explain"]["query"]["tokens"], cut["explain"]["query"]["read_tokens"]) == (10, 8)
        if route == "/v1/query":
            assert cut["degraded"] == []


def test_nfkc_is_a_setting(open_api: OpenApi) -> None:
    with open_api(retrieval={"unicode_form": "NFKC"}) as api:
        api.put("/v1/collections/default", json={})
        assert asked(api, "/v1/search", "\uff21udit")["explain"]["query"]["text"] == "Audit"


def test_texts_to_embed_are_taken_as_they_are(api: httpx.Client) -> None:
    bodies = [{"input": text, "input_type": "query"} for text in (PLAIN, LOOK_ALIKE[0])]
    plain, other = (api.post("/v1/embeddings", json=body).json()["data"] for body in bodies)
    assert plain != other
