"""What a key grants: scopes, collections, aliases."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from service.access.scope import Scope
from service.api.access import Needs, Nothing
from service.api.authentication import OPEN
from service.app import create_app
from service.library import Library
from service.settings import Settings
from tenants.asking import ADMIN, DOCUMENTS, Asking

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]


def test_every_route_declares_what_it_needs(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    open_paths = set()
    routes = [route for included in app.routes for route in included.original_router.routes]
    assert len(routes) > 30
    for route in routes:
        assert isinstance(route, APIRoute)
        declared = [each.call for each in route.dependant.dependencies if isinstance(each.call, Needs | Nothing)]
        assert len(declared) == 1, f"{route.methods} {route.path} declares {declared}"
        if isinstance(declared[0], Nothing):
            open_paths.add(route.path)
        changes = route.methods & {"PUT", "DELETE"} or "documents:" in route.path
        if isinstance(declared[0], Needs) and changes:
            assert "query" not in declared[0].scopes
    assert open_paths == OPEN


_ASKED: list[tuple[Scope, str, str, dict[str, Any] | None]] = [
    ("query", "POST", "/v1/search", {"query": "boiler", "collection": "docs"}),
    ("query", "GET", DOCUMENTS, None),
    ("query", "GET", f"{DOCUMENTS}/red", None),
    ("ingest", "PUT", f"{DOCUMENTS}/new", {"text": "New."}),
    ("ingest", "DELETE", f"{DOCUMENTS}/new", None),
    ("ingest", "GET", "/v1/jobs", None),
    ("ingest", "PUT", "/v1/collections/docs", {}),
    ("admin", "POST", "/v1/collections/docs:verify", {}),
    ("admin", "PUT", "/v1/aliases/live", {"collection": "docs"}),
    ("admin", "GET", "/v1/status", None),
    ("admin", "GET", "/metrics", None),
    ("admin", "DELETE", "/v1/collections/docs", None),
]


@pytest.mark.parametrize("asked", _ASKED)
def test_a_scope_opens_its_routes_and_admin_all(
    opened: httpx.Client, ring: dict[str, str], problem: Problem, asked: tuple[Scope, str, str, dict[str, Any] | None]
) -> None:
    needed, method, path, body = asked
    for scope in ("query", "ingest", "admin"):
        reply = Asking(opened, ring[scope])(method, path, json=body)
        if scope in {needed, "admin"}:
            assert reply.is_success, reply.text
        else:
            problem(reply, 403, "forbidden")


def test_a_list_of_collections(opened: httpx.Client, ring: dict[str, str], problem: Problem) -> None:
    admin = Asking(opened, ADMIN)
    assert admin("PUT", "/v1/collections/vault", json={}).status_code == 201
    for alias, collection in (("live", "docs"), ("dark", "vault")):
        admin("PUT", f"/v1/aliases/{alias}", json={"collection": collection})
    ask = Asking(opened, ring["docs"])
    for name in ("docs", "live"):
        assert ask("POST", "/v1/search", json={"query": "boiler", "collection": name}).json()["chunks"]
        assert ask("GET", f"/v1/collections/{name}").json()["name"] == "docs"
    for name in ("vault", "dark", "nothing"):
        said = [
            problem(ask("POST", "/v1/search", json={"query": "boiler", "collection": name}), 403, "forbidden"),
            problem(ask("GET", f"/v1/collections/{name}"), 403, "forbidden"),
            problem(ask("PUT", f"/v1/collections/{name}/documents/a", json={"text": "A."}), 403, "forbidden"),
            problem(ask("PUT", f"/v1/aliases/{name}", json={"collection": "docs"}), 403, "forbidden"),
            problem(ask("PUT", "/v1/aliases/docs", json={"collection": name}), 403, "forbidden"),
            problem(ask("DELETE", f"/v1/aliases/{name}"), 403, "forbidden"),
        ]
        assert {body["detail"].replace(name, "X") for body in said} == {said[0]["detail"].replace(name, "X")}
    assert [entry["name"] for entry in ask("GET", "/v1/collections").json()["data"]] == ["docs"]
    problem(ask("DELETE", "/v1/aliases/live"), 403, "forbidden")  # it may be used, and is not on the list
    every = {entry["name"]: entry["collection"] for entry in admin("GET", "/v1/aliases").json()["data"]}
    assert every == {"live": "docs", "dark": "vault"}
    assert [entry["name"] for entry in ask("GET", "/v1/aliases").json()["data"]] == ["live"]
    served = {entry["id"] for entry in ask("GET", "/v1/models").json()["data"]}
    assert served == {"docs", "live", "hashing"}
    for path in ("/v1/status", "/metrics"):
        problem(ask("GET", path), 403, "forbidden")
    problem(ask("POST", "/v1/admin/backup", json={}), 403, "forbidden")


def test_an_alias_that_a_key_names_is_granted_wherever_it_leads(
    opened: httpx.Client, ring: dict[str, str], problem: Problem
) -> None:
    admin, ask = Asking(opened, ADMIN), Asking(opened, ring["live"])
    search = {"query": "boiler", "collection": "live"}
    problem(ask("POST", "/v1/search", json=search), 404, "not_found")
    admin("PUT", "/v1/aliases/live", json={"collection": "docs"})
    assert len(ask("POST", "/v1/search", json=search).json()["chunks"]) == 2
    problem(ask("POST", "/v1/search", json=search | {"collection": "docs"}), 403, "forbidden")
    admin("PUT", "/v1/collections/other", json={})
    admin("PUT", "/v1/aliases/live", json={"collection": "other"})
    assert ask("POST", "/v1/search", json=search).json()["chunks"] == []


def test_only_a_key_of_the_whole_node_hears_the_names_of_what_is_damaged(
    opened: httpx.Client, red: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "damaged", lambda _: ["vault", "other"])
    assert Asking(opened, ADMIN)("GET", "/readyz").json()["degraded"] == ["collection:vault", "collection:other"]
    assert Asking(opened, red)("GET", "/readyz").json()["degraded"] == ["collection"]
    assert opened.get("/readyz").json()["degraded"] == ["collection"]
