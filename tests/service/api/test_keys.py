"""Keys over the API: how the first one turns them on, and how they end."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from indexes.data_directory import is_owned
from service.access.keys import Keys
from service.access.opened import opened_keys
from service.settings import Settings

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

ADMIN = "a-key-of-an-operator-with-40-characters!"
KEYS = "/v1/admin/keys"
TENANT = {"type": "eq", "key": "tenant", "value": "acme"}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def made(api: httpx.Client, key: str | None = None, **fields: object) -> dict[str, Any]:
    body = {"name": "a", "scopes": ["admin"], **fields}
    reply = api.post(KEYS, json=body, headers=bearer(key) if key else {})
    assert reply.status_code == 201, reply.text
    told: dict[str, Any] = reply.json()
    return told


@pytest.fixture
def administered(open_api: OpenApi) -> Iterator[httpx.Client]:
    """A server with a configured key, and a client that shows it."""
    with open_api(access={"admin_key": ADMIN}) as api:
        api.headers.update(bearer(ADMIN))
        yield api


@pytest.mark.parametrize(
    ("once", "twice"),
    [
        ('"scopes": ["query"]', '"scopes": ["query"], "scopes": ["admin"]'),
        ('"value": "acme"', '"value": "acme", "value": "others"'),
        ('"concurrency": 1', '"concurrency": 1, "concurrency": null'),
        ('"name": "a"', '"name": "a", "na\\u006de": "b"'),
    ],
)
def test_what_is_said_twice_of_a_key_is_refused(
    administered: httpx.Client, problem: Problem, once: str, twice: str
) -> None:
    body = json.dumps({"name": "a", "scopes": ["query"], "filter": TENANT, "limits": {"concurrency": 1}})
    headers = {"Content-Type": "application/json"}
    assert administered.post(KEYS, content=body, headers=headers).status_code == 201
    refused = administered.post(KEYS, content=body.replace(once, twice), headers=headers)
    assert "twice" in problem(refused, 400, "invalid_request")["detail"]


def test_the_first_key_turns_keys_on_at_once(api: httpx.Client, problem: Problem) -> None:
    assert api.get("/v1/collections", headers=bearer("whatever")).is_success, "keyless: what is shown is ignored"
    assert api.get(KEYS).json() == {"data": []}
    reply = api.post(KEYS, json={"name": "op", "scopes": ["admin"]})
    assert (reply.status_code, reply.headers["cache-control"]) == (201, "no-store")
    key = reply.json()["key"]
    assert key.startswith(f"quarry.{reply.json()['id']}.")
    refused = api.get("/v1/collections")
    problem(refused, 401, "unauthenticated")
    assert refused.headers["www-authenticate"] == 'Bearer realm="quarry"'
    problem(api.get("/v1/collections", headers=bearer("whatever")), 401, "unauthenticated")
    assert api.get("/v1/collections", headers=bearer(key)).is_success
    assert api.get("/v1/collections", headers={"x-api-key": key}).is_success
    assert api.get("/healthz").is_success


@pytest.mark.parametrize(
    "fields",
    [{"scopes": ["query", "ingest"]}, {"scopes": ["admin"], "collections": ["docs"]}],
)
def test_the_first_key_can_make_others_or_is_refused(
    api: httpx.Client, problem: Problem, fields: dict[str, object]
) -> None:
    said = problem(api.post(KEYS, json={"name": "a", **fields}), 409, "conflict")
    assert "it must have the scope admin and neither collections nor a filter" in said["detail"]
    assert api.get(KEYS).json() == {"data": []}
    assert api.get("/v1/collections").is_success, "nothing was turned on"


def test_of_first_keys_at_the_same_time_one_is_first(api: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as threads:
        replies = list(threads.map(lambda n: api.post(KEYS, json={"name": f"k{n}", "scopes": ["admin"]}), range(8)))
    keys = [reply.json()["key"] for reply in replies if reply.status_code == 201]
    assert keys
    assert {reply.status_code for reply in replies} <= {201, 401}
    listed = api.get(KEYS, headers=bearer(keys[0])).json()["data"]
    assert len(listed) == len(keys)


def test_keys_are_listed_without_what_opens_anything(administered: httpx.Client) -> None:
    limits = {"requests_per_minute": 60, "tokens_per_minute": 10_000, "concurrency": 2}
    one = made(
        administered, name="one", scopes=["ingest", "query"], collections=["b", "a"], filter=TENANT, limits=limits
    )
    two = made(administered, name="two")
    secrets = [each.pop("key") for each in (one, two)]
    assert (one["scopes"], one["collections"], one["filter"]) == (["query", "ingest"], ["a", "b"], TENANT)
    assert one["limits"] == limits
    assert (two["collections"], two["filter"], set(two["limits"].values())) == (None, None, {None})
    listed = administered.get(KEYS)
    assert listed.json() == {"data": [one, two]}
    for secret in secrets:
        assert secret.rpartition(".")[2] not in listed.text


def test_a_revoked_key_opens_nothing_from_the_next_request_on(administered: httpx.Client, problem: Problem) -> None:
    key = made(administered, scopes=["query"])
    headers = bearer(key["key"])
    assert administered.get("/v1/collections", headers=headers).is_success
    revoked = administered.delete(f"{KEYS}/{key['id']}").json()
    assert revoked["revoked_at"] is not None
    assert "key" not in revoked
    assert (
        "was revoked" in problem(administered.get("/v1/collections", headers=headers), 401, "unauthenticated")["detail"]
    )
    assert administered.delete(f"{KEYS}/{key['id']}").json() == revoked
    assert administered.get(KEYS).json()["data"] == [revoked]


@pytest.mark.parametrize("key_id", ["configured", "0" * 16, "x", "%00", "..%2F"])
def test_a_key_that_nobody_made_is_not_found(administered: httpx.Client, problem: Problem, key_id: str) -> None:
    problem(administered.delete(f"{KEYS}/{key_id}"), 404, "not_found")


def test_the_last_key_that_makes_others_stays(api: httpx.Client, problem: Problem) -> None:
    first = made(api)
    headers = bearer(first["key"])
    refused = api.delete(f"{KEYS}/{first['id']}", headers=headers)
    assert "is the last key that may make and revoke others" in problem(refused, 409, "conflict")["detail"]
    made(api, first["key"], scopes=["admin"], collections=["docs"])
    problem(api.delete(f"{KEYS}/{first['id']}", headers=headers), 409, "conflict")
    second = made(api, first["key"])
    assert api.delete(f"{KEYS}/{first['id']}", headers=headers).is_success, "a key may end itself"
    problem(api.get(KEYS, headers=headers), 401, "unauthenticated")
    assert len(api.get(KEYS, headers=bearer(second["key"])).json()["data"]) == 3


def test_keys_hold_after_a_restart(open_api: OpenApi) -> None:
    with open_api() as api:
        key = made(api)["key"]
    with open_api() as api:
        assert api.get(KEYS).status_code == 401
        assert len(api.get(KEYS, headers=bearer(key)).json()["data"]) == 1


def test_keys_are_read_when_nobody_can_change_them_beside_the_server(
    open_api: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    had_the_lock: list[bool] = []

    def opened(settings: Settings) -> Keys:
        had_the_lock.append(is_owned(settings.data_dir))
        return opened_keys(settings)

    monkeypatch.setattr("service.access.opened.opened_keys", opened)
    with open_api():
        assert had_the_lock == [True]


@pytest.mark.parametrize(
    "fields",
    [
        {"scopes": ["query"]},
        {"scopes": ["query", "ingest"]},
        {"scopes": ["admin"], "collections": ["docs"]},
        {"scopes": ["query"], "filter": TENANT},
    ],
)
def test_only_who_has_the_whole_node_makes_lists_and_revokes_keys(
    administered: httpx.Client, problem: Problem, fields: dict[str, object]
) -> None:
    key = made(administered, **fields)
    headers = bearer(key["key"])
    problem(administered.post(KEYS, json={"name": "b", "scopes": ["admin"]}, headers=headers), 403, "forbidden")
    problem(administered.get(KEYS, headers=headers), 403, "forbidden")
    problem(administered.delete(f"{KEYS}/{key['id']}", headers=headers), 403, "forbidden")
    assert len(administered.get(KEYS).json()["data"]) == 1


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": " "}, "name"),
        ({"name": "x" * 129}, "name"),
        ({"name": "a\n"}, "name"),
        ({"name": "\ud800"}, "name"),
        ({"name": 7}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes.0"),
        ({"scopes": "admin"}, "scopes"),
        ({"scopes": ["query"] * 4}, "scopes"),
        ({"collections": []}, "collections"),
        ({"collections": ["a", "../b"]}, "collections.1"),
        ({"collections": ["\ud800"]}, "collections.0"),
        ({"collections": [f"c{n}" for n in range(257)]}, "collections"),
        ({"filter": {}}, "filter"),
        ({"filter": []}, "filter"),
        ({"filter": {"type": "eq", "key": "a"}}, "filter"),
        ({"filter": {"type": "eq", "key": "a", "value": "\ud800"}}, "filter"),
        ({"limits": {"concurrency": 0}}, "limits.concurrency"),
        ({"limits": {"requests_per_minute": -1}}, "limits.requests_per_minute"),
        ({"limits": {"tokens_per_minute": 1.5}}, "limits.tokens_per_minute"),
        ({"limits": {"tokens_per_minute": 10**10}}, "limits.tokens_per_minute"),
        ({"limits": {"burst": 1}}, "limits.burst"),
        ({"expires_at": 1}, "expires_at"),
        ({"key": "quarry.mine"}, "key"),
    ],
)
def test_what_is_no_key_is_refused_by_name(
    administered: httpx.Client, problem: Problem, fields: dict[str, object], param: str
) -> None:
    body = json.dumps({"name": "a", "scopes": ["query"], **fields})  # httpx's own cannot say a lone surrogate
    refused = administered.post(KEYS, content=body, headers={"Content-Type": "application/json"})
    assert problem(refused, 422, "invalid_request")["error"]["param"] == param
    assert administered.get(KEYS).json() == {"data": []}


def test_an_administrator_of_some_documents_is_refused(administered: httpx.Client, problem: Problem) -> None:
    body = {"name": "a", "scopes": ["query", "admin"], "filter": TENANT}
    said = problem(administered.post(KEYS, json=body), 400, "invalid_request")
    assert said["error"]["param"] == "filter"
    assert "a key of scope admin takes no filter" in said["detail"]


def test_bodies_are_json(administered: httpx.Client, problem: Problem) -> None:
    problem(administered.post(KEYS, content=b"{}"), 415, "unsupported_media_type")
    problem(administered.post(KEYS, content=b"{", headers={"Content-Type": "application/json"}), 400, "invalid_request")
    problem(administered.get(KEYS, params={"secrets": "1"}), 422, "invalid_request")


def test_a_key_that_cannot_be_stored_is_not_made(
    administered: httpx.Client, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = made(administered)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("service.access.keys.move", full)
    problem(administered.post(KEYS, json={"name": "b", "scopes": ["query"]}), 503, "keys_unavailable")
    problem(administered.delete(f"{KEYS}/{key['id']}"), 503, "keys_unavailable")
    assert [each["revoked_at"] for each in administered.get(KEYS).json()["data"]] == [None]
    assert administered.get(KEYS, headers=bearer(key["key"])).is_success
