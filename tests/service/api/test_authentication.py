"""Who is let in."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message

from models.hashing import HashingEmbedder
from scripted_memory import ScriptedMemory
from service.access.keys import Keys
from service.api.authentication import OPEN
from service.app import Outside, create_app
from service.errors import KeylessError
from service.settings import Settings
from tenants.asking import ADMIN, DOCUMENTS, Asking, made

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]


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


@pytest.mark.parametrize("name", ["Authorization", "x-api-key"])
def test_of_two_keys_in_one_header_none_counts(opened: httpx.Client, red: str, problem: Problem, name: str) -> None:
    """A proxy's and a client's, perhaps: each part of the way might go by another."""
    shown = f"Bearer {red}" if name == "Authorization" else red
    assert opened.get("/v1/collections", headers=[(name, shown)]).is_success
    for second in (shown, "nonsense", ""):
        for headers in ([(name, shown), (name, second)], [(name, second), (name.lower(), shown)]):
            problem(opened.get("/v1/collections", headers=headers), 401, "unauthenticated")


def test_nothing_of_a_body_is_read_before_the_key(tmp_path: Path) -> None:
    outside = Outside(HashingEmbedder(), memory=ScriptedMemory())
    app = create_app(Settings(data_dir=tmp_path, access={"admin_key": ADMIN}), outside)
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


def test_a_name_that_others_call_it_by_asks_for_a_key(open_api: OpenApi, keys: Keys) -> None:
    """Whoever sets one has a proxy in front, and lets in who comes through it."""
    named = {"hosts": ["localhost", "quarry.example"]}
    with pytest.raises(KeylessError, match=r"server\.hosts is localhost, quarry\.example"), open_api(server=named):
        pass
    with open_api(server={"hosts": ["localhost", "quarry.localhost"]}) as http:
        assert http.get("/v1/collections").is_success
    made(keys, "admin")
    with open_api(server=named) as http:
        assert http.get("/healthz", headers={"Host": "quarry.example"}).is_success


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_alone_asks_for_none(open_api: OpenApi, host: str) -> None:
    with open_api(server={"host": host}) as http:
        assert http.get("/v1/collections").is_success


def test_metrics_may_be_open(open_api: OpenApi, problem: Problem) -> None:
    with open_api(access={"admin_key": ADMIN, "open_metrics": True}) as http:
        assert http.get("/metrics").is_success
        problem(http.get("/v1/status"), 401, "unauthenticated")
