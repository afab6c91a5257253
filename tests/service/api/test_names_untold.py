"""A key that names an alias hears of nothing by a name that it has not; what it may not write makes no collection."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from indexes.filters import parse_filter
from service.access.keys import Keys, NewKey
from service.access.rights import Rights
from service.access.scope import SCOPES

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
RED = parse_filter({"type": "eq", "key": "tenant", "value": "red"})
BLUE_LINES = b'{"id":"a","text":"A.","metadata":{"tenant":"blue"}}\n{"id":"b","text":"B."}\n'
RED_LINE = b'{"id":"r","text":"R.","metadata":{"tenant":"red"}}\n'


@pytest.fixture
def clients(open_api: OpenApi, tmp_path: Path) -> Iterator[dict[str, httpx.Client]]:
    """Of a server with the collection `vault` and its aliases `dark` and `dark2`, by key."""
    keys, every = Keys(tmp_path / "data"), frozenset(SCOPES)
    rights = {
        "all": Rights(every),
        "dark": Rights(every, frozenset({"dark"})),
        "vault": Rights(every, frozenset({"vault"})),
        "red": Rights(every, filter=RED),
    }
    texts = {name: str(keys.create(NewKey(name, one))[1]) for name, one in rights.items()}
    with open_api() as api:
        transport = api._transport
        made = {
            name: httpx.Client(transport=transport, base_url=api.base_url, headers={"x-api-key": text})
            for name, text in texts.items()
        }
        assert made["all"].put("/v1/collections/vault", json={}).status_code == 201
        for alias in ("dark", "dark2"):
            assert made["all"].put(f"/v1/aliases/{alias}", json={"collection": "vault"}).status_code == 201
        yield made


def test_a_collection_is_named_by_the_alias_of_the_key(clients: dict[str, httpx.Client]) -> None:
    for key, name in (("dark", "dark"), ("vault", "vault"), ("all", "vault")):
        listed = clients[key].get("/v1/collections").json()
        assert [entry["name"] for entry in listed["data"]] == [name]
    for path in ("/v1/collections", "/v1/collections/dark"):
        assert "vault" not in clients["dark"].get(path).text
    assert clients["all"].get("/v1/collections/dark").json()["name"] == "vault"


def test_who_may_not_know_an_alias_is_not_told_that_it_is_in_the_way(
    clients: dict[str, httpx.Client], problem: Problem
) -> None:
    said = problem(clients["dark"].delete("/v1/collections/dark"), 409, "conflict")["detail"]
    assert said == "collection 'dark' is named by the alias 'dark': remove it first"
    for key in ("vault", "all"):
        said = problem(clients[key].delete("/v1/collections/vault"), 409, "conflict")["detail"]
        assert said == "collection 'vault' is named by the aliases 'dark', 'dark2': remove them first"


def test_jobs_are_found_by_an_alias(clients: dict[str, httpx.Client]) -> None:
    sent = clients["dark"].post("/v1/collections/dark/documents:batch?wait_ms=60000", content=RED_LINE)
    job = sent.json()["job_id"]

    def found(key: str, name: str) -> list[tuple[str, str]]:
        reply = clients[key].get("/v1/jobs", params={"collection": name})
        return [(each["id"], each["collection"]) for each in reply.json()["data"]]

    for name in ("dark", "dark2", "vault"):
        assert found("all", name) == [(job, "vault")]
    assert found("dark", "dark") == [(job, "dark")]
    assert clients["dark"].get(f"/v1/jobs/{job}").json()["collection"] == "dark"
    assert found("dark", "dark2") == found("dark", "vault") == found("all", "nothing") == []


@pytest.mark.parametrize("query", ["", "?wait_ms=60000"])
def test_a_batch_of_which_no_line_may_be_written_makes_no_collection(
    clients: dict[str, httpx.Client], problem: Problem, query: str
) -> None:
    path = f"/v1/collections/new/documents:batch{query}"
    refused = clients["red"].post(path, content=BLUE_LINES)
    if query:
        assert "not one line" in problem(refused, 403, "forbidden")["detail"]
    else:
        assert refused.text.count('"forbidden"') == 2
    assert clients["all"].get("/v1/collections/new").status_code == 404
    assert clients["red"].post(path, content=BLUE_LINES + RED_LINE).is_success
    assert [entry["id"] for entry in clients["all"].get("/v1/collections/new/documents").json()["data"]] == ["r"]
