"""Second names of collections."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]


def put(api: httpx.Client, collection: str, document_id: str, text: str) -> httpx.Response:
    return api.put(f"/v1/collections/{collection}/documents/{document_id}", json={"text": text})


def found(api: httpx.Client, collection: str, query: str) -> list[str]:
    reply = api.post("/v1/search", json={"query": query, "collection": collection})
    assert reply.status_code == 200, reply.text
    return [chunk["document_id"] for chunk in reply.json()["chunks"]]


@pytest.fixture
def live(api: httpx.Client) -> httpx.Client:
    """Collections `one` and `two` of a document each, and the alias `live` of the first."""
    put(api, "one", "a", "Honey bees sleep.")
    put(api, "two", "b", "Honey wasps sleep.")
    made = api.put("/v1/aliases/live", json={"collection": "one"})
    assert (made.status_code, made.json()) == (201, {"name": "live", "collection": "one"})
    return api


def test_an_alias_is_seen_listed_moved_and_removed(live: httpx.Client, problem: Problem) -> None:
    assert live.get("/v1/aliases/live").json() == {"name": "live", "collection": "one"}
    moved = live.put("/v1/aliases/live", json={"collection": "two"})
    assert (moved.status_code, moved.json()) == (200, {"name": "live", "collection": "two"})
    assert found(live, "live", "honey") == ["b"]
    live.put("/v1/aliases/also", json={"collection": "live"})
    assert live.get("/v1/aliases").json()["data"] == [
        {"name": "also", "collection": "two"},
        {"name": "live", "collection": "two"},
    ]
    assert live.get("/v1/status").json()["aliases"] == {"also": "two", "live": "two"}
    assert live.delete("/v1/aliases/live").json() == {"deleted": "live"}
    problem(live.get("/v1/collections/live"), 404, "not_found")
    assert found(live, "also", "honey") == ["b"]


def test_routes_take_an_alias_for_the_collection(live: httpx.Client) -> None:
    assert found(live, "live", "honey") == ["a"]
    assert live.post("/v1/query", json={"query": "Who sleeps?", "collection": "live"}).status_code == 200
    assert put(live, "live", "c", "More honey.").json()["status"] == "created"
    line = '{"id": "d", "text": "Even more honey."}'
    assert live.post("/v1/collections/live/documents:batch", content=line).json()["status"] == "created"
    listed = live.get("/v1/collections/one/documents").json()["data"]
    assert [entry["id"] for entry in listed] == ["a", "c", "d"]
    assert live.get("/v1/collections/live/documents").json()["data"] == listed
    assert live.get("/v1/collections/live/documents/a").json()["text"] == "Honey bees sleep."
    assert live.delete("/v1/collections/live/documents/a").json()["deleted"] == 1
    confirmed = live.put("/v1/collections/live", json={"embedding_model": "hashing"})
    assert (confirmed.status_code, confirmed.json()["name"]) == (200, "one")
    assert live.get("/v1/collections/live").json() == live.get("/v1/collections/one").json()
    assert [entry["name"] for entry in live.get("/v1/collections").json()["data"]] == ["one", "two"]


def test_an_alias_survives_a_restart(open_api: OpenApi) -> None:
    with open_api() as api:
        put(api, "one", "a", "Honey bees sleep.")
        api.put("/v1/aliases/live", json={"collection": "one"})
    with open_api() as api:
        assert found(api, "live", "bees") == ["a"]


def test_a_name_is_one_or_the_other(live: httpx.Client, problem: Problem) -> None:
    sent = live.put("/v1/aliases/two", json={"collection": "one"})
    assert "'two' is the name of a collection" in problem(sent, 409, "conflict")["detail"]
    assert live.get("/v1/aliases").json()["data"] == [{"name": "live", "collection": "one"}]


@pytest.mark.parametrize("name", ["one", "live"])
def test_a_collection_that_an_alias_names_is_not_dropped(live: httpx.Client, problem: Problem, name: str) -> None:
    sent = live.delete(f"/v1/collections/{name}")
    assert "'one' is named by the alias 'live': remove it first" in problem(sent, 409, "conflict")["detail"]
    live.put("/v1/aliases/also", json={"collection": "one"})
    several = problem(live.delete(f"/v1/collections/{name}"), 409, "conflict")["detail"]
    assert "'one' is named by the aliases 'also', 'live': remove them first" in several
    live.delete("/v1/aliases/also")
    live.delete("/v1/aliases/live")
    assert live.delete("/v1/collections/one").json() == {"deleted": "one"}


def test_what_is_refused(live: httpx.Client, problem: Problem) -> None:
    problem(live.put("/v1/aliases/new", json={"collection": "absent"}), 404, "not_found")
    problem(live.put("/v1/aliases/a%20b", json={"collection": "one"}), 400, "invalid_request")
    problem(live.put("/v1/aliases/new", json={"collection": "one", "force": True}), 422, "invalid_request")
    problem(live.put("/v1/aliases/new", json={}), 422, "invalid_request")
    for absent in (live.get("/v1/aliases/absent"), live.delete("/v1/aliases/one")):
        assert "there is no alias" in problem(absent, 404, "not_found")["detail"]
    assert live.get("/v1/aliases").json()["data"] == [{"name": "live", "collection": "one"}]
