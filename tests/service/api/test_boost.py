"""Boosts on the routes that ask."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

ROUTES = ("/v1/search", "/v1/query")
ROWS = 60
VECTORS = {"enabled": False}
SEARCH = {"query": "bees honey hive", "collection": "docs", "top_k": 3, "generate": False, "hybrid": VECTORS}


def of(value: str) -> dict[str, Any]:
    return {"type": "eq", "key": "source", "value": value}


def boost(value: str, weight: float) -> dict[str, Any]:
    return {"filter": of(value), "weight": weight}


@pytest.fixture
def api(open_api: OpenApi) -> Any:  # noqa: ANN401  an iterator
    """Sixty near documents from a forum, and one far from a handbook."""
    with open_api() as client:
        documents = [(f"f{i}", f"Bees honey hive {i}.", "forum") for i in range(ROWS)]
        documents.append(("h", "Bees rest in winter.", "handbook"))
        lines = [f'{{"id": "{i}", "text": "{t}", "metadata": {{"source": "{s}"}}}}' for i, t, s in documents]
        headers = {"content-type": "application/x-ndjson"}
        sent = client.post("/v1/collections/docs/documents:batch", content="\n".join(lines), headers=headers)
        assert sent.text.count('"created"') == ROWS + 1
        yield client


def found(api: httpx.Client, route: str, **body: object) -> dict[str, Any]:
    asked = SEARCH | body
    if route == "/v1/search":
        del asked["generate"]
    reply = api.post(route, json=asked)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


@pytest.mark.parametrize("route", ROUTES)
def test_a_source_comes_first_however_far_it_was(api: httpx.Client, route: str) -> None:
    plain = found(api, route, top_k=15)
    assert "h" not in {chunk["document_id"] for chunk in plain["chunks"]}
    assert all(set(chunk["scores"]) == {"vector"} for chunk in plain["chunks"])
    assert "boost" not in plain["timings_ms"]
    first, *others = (boosted := found(api, route, boost=[boost("handbook", 1.0)], explain=True))["chunks"]
    assert (first["document_id"], first["scores"]["boost"]) == ("h", 1.0)
    assert first["score"] == pytest.approx(first["scores"]["vector"] + 1.0)
    assert [(chunk["scores"]["boost"], chunk["score"]) for chunk in others] == [
        (0.0, pytest.approx(chunk["scores"]["vector"])) for chunk in others
    ]
    assert "boost" in boosted["timings_ms"]
    assert boosted["explain"]["boost_searches"] == 1
    assert "h" not in {dropped["chunk_id"].split("#")[0] for dropped in boosted["explain"]["dropped"]}


@pytest.mark.parametrize("route", ROUTES)
def test_a_boost_changes_the_order_and_nothing_else(api: httpx.Client, route: str) -> None:
    asked = {"boost": [boost("handbook", 1.0)]}
    assert found(api, route, **asked, filters=of("nobody"))["chunks"] == []
    forum = found(api, route, **asked, filters=of("forum"))["chunks"]
    assert len(forum) == 3
    assert {chunk["document_id"][0] for chunk in forum} == {"f"}
    near = found(api, route, **asked, score_threshold=0.5)["chunks"]
    assert {chunk["document_id"][0] for chunk in near} == {"f"}  # the threshold is of the plain cosine
    nobody = found(api, route, boost=[boost("nobody", 1.0)])["chunks"]
    assert [chunk["id"] for chunk in nobody] == [chunk["id"] for chunk in found(api, route)["chunks"]]
    api.delete("/v1/collections/docs/documents/h")
    assert "h" not in {chunk["document_id"] for chunk in found(api, route, **asked)["chunks"]}


def test_of_several_the_greatest_counts(api: httpx.Client) -> None:
    every = {"filter": {"type": "ne", "key": "source", "value": "nobody"}, "weight": 0.125}
    chunks = found(api, "/v1/search", boost=[boost("handbook", 1.0), every])["chunks"]
    assert [chunk["scores"]["boost"] for chunk in chunks] == [1.0, 0.125, 0.125]


def test_a_document_that_is_repeated_still_loses(api: httpx.Client) -> None:
    api.put("/v1/collections/long", json={"chunking": {"size": 16, "overlap": 0}})
    api.put("/v1/collections/long/documents/a", json={"text": "Bees honey hive. " * 30, "metadata": {"source": "a"}})
    api.put("/v1/collections/long/documents/b", json={"text": "Bees honey hive winter sleep."})
    chunks = found(api, "/v1/search", collection="long", boost=[boost("a", 0.05)])["chunks"]
    assert chunks[0]["document_id"] == "a"
    lost = chunks[0]["score"] - [chunk for chunk in chunks if chunk["document_id"] == "a"][1]["score"]
    assert lost >= 0.1 - 1e-6


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("given", "param", "said"),
    [
        ([boost("a", 0)], "boost.0.weight", "greater than 0"),
        ([boost("a", 1.5)], "boost.0.weight", "less than or equal to 1"),
        (
            [boost("a", 0.5), boost("a", 0.5) | {"filter": {"type": "eq", "key": "k"}}],
            "boost.1.filter",
            "value is missing",
        ),
        ([{"weight": 0.5}], "boost.0.filter", "required"),
        ([boost("a", 0.5) | {"by": 1}], "boost.0.by", "not permitted"),
        ([boost("a", 0.5)] * 9, "boost", "at most 8"),
        ({"filter": of("a")}, "boost", "list"),
        (None, "boost", "list"),
    ],
)
def test_what_no_boost_is(
    api: httpx.Client, problem: Problem, route: str, given: object, param: str, said: str
) -> None:
    refused = problem(api.post(route, json={"query": "bees", "boost": given}), 422, "invalid_request")
    assert refused["error"]["param"] == param
    assert said in refused["detail"]
