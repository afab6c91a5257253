"""Who is let in, to what, and what does not exist for whom."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.types import Message

from indexes.filters import parse_filter
from models.hashing import HashingEmbedder
from service.access.keys import Keys, NewKey
from service.access.rights import Rights
from service.access.scope import Scope
from service.api.access import Needs, Nothing
from service.api.authentication import OPEN
from service.app import Outside, create_app
from service.errors import KeylessError
from service.library import Library
from service.settings import Settings

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
RED: dict[str, Any] = {"type": "eq", "key": "tenant", "value": "red"}
DOCUMENTS = "/v1/collections/docs/documents"
_HITS = re.compile(r'^quarry_query_cache_lookups_total{outcome="hit"} (\S+)', re.MULTILINE)
_ANSWER = b'data: {"choices":[{"delta":{"content":"Yes [1]."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
ADMIN = "an admin key of more than thirty-two characters"


@dataclass(frozen=True, slots=True)
class Asking:
    """A client with a key."""

    http: httpx.Client
    key: str

    def __call__(self, method: str, path: str, **body: Any) -> httpx.Response:  # noqa: ANN401
        return self.http.request(method, path, headers={"Authorization": f"Bearer {self.key}"}, **body)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "data")


def made(
    keys: Keys, *scopes: Scope, collections: list[str] | None = None, filter_: dict[str, Any] | None = None
) -> str:
    named = None if collections is None else frozenset(collections)
    rights = Rights(frozenset(scopes), named, filter_ and parse_filter(filter_))
    return str(keys.create(NewKey("somebody", rights))[1])


@pytest.fixture
def ring(keys: Keys) -> dict[str, str]:
    """Keys by name: the scopes, for which everything exists, and some that are restricted."""
    scopes: tuple[Scope, ...] = ("query", "ingest", "admin")
    return {scope: made(keys, scope) for scope in scopes} | {
        "red": made(keys, "query", "ingest", filter_=RED),
        "any integer": made(keys, "ingest", filter_={"type": "in", "key": "tenant", "value": ["red", 2**70]}),
        "docs": made(keys, "admin", collections=["docs"]),
        "live": made(keys, "query", collections=["live"]),
    }


@pytest.fixture
def red(ring: dict[str, str]) -> str:
    """A key for which only red documents exist."""
    return ring["red"]


@pytest.fixture
def opened(open_api: OpenApi, ring: dict[str, str]) -> Iterator[httpx.Client]:
    """A server with a red and a blue document."""
    with open_api(access={"admin_key": ADMIN}) as http:
        ask = Asking(http, ADMIN)
        for tenant in ("red", "blue"):
            body = {"text": f"The {tenant} boiler is cold.", "metadata": {"tenant": tenant}}
            assert ask("PUT", f"{DOCUMENTS}/{tenant}", json=body).status_code == 201
        yield http


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


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic cXVhcnJ5"},
        {"Authorization": f"Bearer quarry.{'0' * 16}.{'a' * 43}"},
        {"x-api-key": ""},
    ],
)
def test_nobody_is_let_in_without_a_key_that_holds(
    opened: httpx.Client, problem: Problem, headers: dict[str, str]
) -> None:
    for method, path in [("GET", "/v1/collections"), ("POST", "/v1/search"), ("GET", "/metrics"), ("GET", "/nowhere")]:
        reply = opened.request(method, path, headers=headers, content=b"{")
        problem(reply, 401, "unauthenticated")
        assert reply.headers["www-authenticate"].startswith("Bearer")
    for path in OPEN:
        assert opened.get(path, headers=headers).status_code == 200


def test_another_key_with_the_same_id_is_none(opened: httpx.Client, red: str, problem: Problem) -> None:
    wrong = red[:-1] + ("A" if red[-1] != "A" else "B")
    problem(Asking(opened, wrong)("GET", "/v1/collections"), 401, "unauthenticated")
    assert Asking(opened, red)("GET", "/v1/collections").is_success
    assert opened.get("/v1/collections", headers={"x-api-key": red}).is_success


def test_nothing_of_a_body_is_read_before_the_key(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path, access={"admin_key": ADMIN}), Outside(HashingEmbedder()))
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body is read")

    async def send(message: Message) -> None:
        sent.append(message)

    async def asked() -> None:
        async with app.router.lifespan_context(app):
            scope = {"type": "http", "method": "PUT", "path": f"{DOCUMENTS}/a", "headers": [], "query_string": b""}
            await app(scope, receive, send)

    asyncio.run(asked())
    assert [message["status"] for message in sent if "status" in message] == [401]


def test_without_keys_whatever_is_shown_is_ignored(api: httpx.Client) -> None:
    assert api.get("/v1/collections", headers={"Authorization": "Bearer nonsense"}).is_success


def test_a_revoked_key_opens_nothing_and_the_last_one_leaves_the_door_shut(
    open_api: OpenApi, keys: Keys, problem: Problem
) -> None:
    key = made(keys, "admin")
    keys.revoke(keys.listed()[0].id)
    with open_api() as http:
        problem(Asking(http, key)("GET", "/v1/collections"), 401, "unauthenticated")
        problem(http.get("/v1/collections"), 401, "unauthenticated")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "quarry.example"])
def test_an_address_that_others_reach_asks_for_a_key(open_api: OpenApi, keys: Keys, host: str) -> None:
    with pytest.raises(KeylessError, match="quarry keys create"), open_api(server={"host": host}):
        pass
    made(keys, "admin")
    with open_api(server={"host": host}) as http:
        assert http.get("/healthz").is_success


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_asks_for_none(open_api: OpenApi, host: str) -> None:
    with open_api(server={"host": host}) as http:
        assert http.get("/v1/collections").is_success


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
        ]
        assert {body["detail"].replace(name, "X") for body in said} == {said[0]["detail"].replace(name, "X")}
    assert [entry["name"] for entry in ask("GET", "/v1/collections").json()["data"]] == ["docs"]
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


def test_what_fails_the_filter_is_not_there_to_be_read(opened: httpx.Client, red: str, problem: Problem) -> None:
    ask = Asking(opened, red)
    found = ask("POST", "/v1/search", json={"query": "the blue boiler", "collection": "docs"}).json()["chunks"]
    assert [chunk["document_id"] for chunk in found] == ["red"]
    said = {name: problem(ask("GET", f"{DOCUMENTS}/{name}"), 404, "not_found")["detail"] for name in ("blue", "none")}
    assert said["blue"].replace("blue", "none") == said["none"]
    assert [entry["id"] for entry in ask("GET", DOCUMENTS).json()["data"]] == ["red"]
    collection = ask("GET", "/v1/collections/docs").json()
    assert (collection["documents"], collection["chunks"], collection["index"]) == (1, None, None)


def test_what_fails_the_filter_is_not_deleted(opened: httpx.Client, red: str) -> None:
    ask, admin = Asking(opened, red), Asking(opened, ADMIN)
    replies = [ask("DELETE", f"{DOCUMENTS}/{id_}").json() for id_ in ("nothing", "blue", "neither")]
    assert [reply["deleted"] for reply in replies] == [0, 0, 0]
    assert len({reply["index_version"] - number for number, reply in enumerate(replies)}) == 1, "it tells of blue"
    every = {"type": "ne", "key": "tenant", "value": "nobody"}
    assert ask("POST", f"{DOCUMENTS}:delete", json={"filters": every}).json()["deleted"] == 1
    assert [entry["id"] for entry in admin("GET", DOCUMENTS).json()["data"]] == ["blue"]


@pytest.mark.parametrize("way", ["json", "job", "file", "batch", "batch job"])
def test_writes_stay_within_the_filter(opened: httpx.Client, red: str, way: str) -> None:
    ask, admin = Asking(opened, red), Asking(opened, ADMIN)
    before = admin("GET", f"{DOCUMENTS}/blue").json()
    for id_, tenant, is_allowed in [("blue", "red", False), ("new", "blue", False), ("red", "red", True)]:
        assert _put(ask, way, id_, tenant) is is_allowed, (id_, tenant)
    assert admin("GET", f"{DOCUMENTS}/blue").json() == before
    assert admin("GET", f"{DOCUMENTS}/new").status_code == 404
    assert admin("GET", f"{DOCUMENTS}/red").json()["text"] == "Written anew."
    jobs = admin("GET", "/v1/jobs").json()["data"]
    assert all(job["status"] in {"succeeded", "failed"} for job in jobs)


def _put(ask: Asking, way: str, id_: str, tenant: str) -> bool:
    """Whether the document was stored."""
    body = {"text": "Written anew.", "metadata": {"tenant": tenant}}
    if way in {"json", "job"}:
        return ask("PUT", f"{DOCUMENTS}/{id_}" + "?wait_ms=60000" * (way == "job"), json=body).is_success
    if way == "file":
        fields = {"metadata": f'{{"tenant": "{tenant}"}}'}
        return ask("PUT", f"{DOCUMENTS}/{id_}", files={"file": ("a.txt", body["text"])}, data=fields).is_success
    line = httpx.Request("POST", "http://x", json={"id": id_, **body}).content
    if way == "batch":
        return ask("POST", f"{DOCUMENTS}:batch", content=line).json()["status"] in {"created", "updated"}
    job = ask("POST", f"{DOCUMENTS}:batch?wait_ms=60000", content=line).json()["job_id"]
    return "failed" not in ask("GET", f"/v1/jobs/{job}").json()["outcomes"]


def test_of_jobs_a_filter_leaves_ones_own(opened: httpx.Client, red: str, problem: Problem) -> None:
    ask, admin = Asking(opened, red), Asking(opened, ADMIN)
    ids = []
    for asking in (ask, admin):
        files = {"file": ("a.txt", b"Red again.")}
        reply = asking("PUT", f"{DOCUMENTS}/red", files=files, data={"metadata": '{"tenant": "red"}'})
        ids.append(reply.json().get("job_id"))
    own = [job["id"] for job in ask("GET", "/v1/jobs").json()["data"]]
    assert own == ids[:1]
    every = [job["id"] for job in admin("GET", "/v1/jobs").json()["data"]]
    assert set(own) < {*every, "more"}
    foreign = next(iter(set(every) - set(own)), "none")
    problem(ask("GET", f"/v1/jobs/{foreign}"), 404, "not_found")
    problem(ask("DELETE", f"/v1/jobs/{foreign}"), 404, "not_found")


def test_jobs_of_a_key_whose_filter_has_an_integer_of_any_size(opened: httpx.Client, ring: dict[str, str]) -> None:
    ask = Asking(opened, ring["any integer"])
    for way in ("job", "file", "batch job"):
        assert _put(ask, way, "big", "red"), way


def test_a_filter_says_nothing_of_the_whole_collection(opened: httpx.Client, red: str, problem: Problem) -> None:
    ask = Asking(opened, red)
    problem(ask("PUT", "/v1/collections/docs", json={"llm": "extractive"}), 403, "forbidden")
    assert ask("PUT", "/v1/collections/docs", json={}).status_code == 200


def test_only_a_key_of_the_whole_node_hears_the_names_of_what_is_damaged(
    opened: httpx.Client, red: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "damaged", lambda _: ["vault", "other"])
    assert Asking(opened, ADMIN)("GET", "/readyz").json()["degraded"] == ["collection:vault", "collection:other"]
    assert Asking(opened, red)("GET", "/readyz").json()["degraded"] == ["collection"]
    assert opened.get("/readyz").json()["degraded"] == ["collection"]


def test_metrics_may_be_open(open_api: OpenApi, problem: Problem) -> None:
    with open_api(access={"admin_key": ADMIN, "open_metrics": True}) as http:
        assert http.get("/metrics").is_success
        problem(http.get("/v1/status"), 401, "unauthenticated")


def test_what_one_key_asked_is_not_fast_for_another(opened: httpx.Client, ring: dict[str, str]) -> None:
    body = {"query": "Which boiler is cold?", "collection": "docs"}
    hits = []
    for name in ("red", "red", "query", "query"):
        Asking(opened, ring[name])("POST", "/v1/search", json=body)
        text = Asking(opened, ADMIN)("GET", "/metrics").text
        hits += [float(count) for count in _HITS.findall(text)]
    assert hits == [1, 1, 2]  # none before there is the first


def test_the_prefixes_that_a_model_server_keeps_are_apart(
    open_api: OpenApi, keys: Keys, language_model: Callable[..., str], llm_requests: list[dict[str, Any]]
) -> None:
    pair = [made(keys, "query", "ingest"), made(keys, "query")]
    url = language_model([_ANSWER])
    with open_api(llm={"small": {"url": url, "model": "small", "server": "vllm"}}) as http:
        Asking(http, pair[0])("PUT", f"{DOCUMENTS}/a", json={"text": "The boiler is cold."})
        body = {"query": "Is the boiler cold?", "collection": "docs", "llm": "small"}
        for key in (*pair, pair[0]):
            assert Asking(http, key)("POST", "/v1/query", json=body).is_success
    salts = [request["cache_salt"] for request in llm_requests if "cache_salt" in request]
    assert salts[0] == salts[2] != salts[1]
