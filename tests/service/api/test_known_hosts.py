"""Names that lead here, web pages that may ask, and what replies tell a browser."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from service.errors import KeylessPagesError
from service.server_settings import ServerSettings

Api = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
ADMIN = "quarry." + "0" * 16 + "." + "A" * 43
SEARCH = {"query": "x", "collection": "docs"}


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:8080", "localhost.", "a.localhost:1", "127.0.0.1:8080", "[::1]:8080", "10.1.2.3"]
)
def test_names_of_the_loopback_and_addresses(api: httpx.Client, host: str) -> None:
    assert api.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example",
        "localhost.rebound.example",
        "127.0.0.1.rebound.example",
        "",
        "[::1",
        "notlocalhost",
        "a b",
        "@",
    ],
)
def test_other_names(api: httpx.Client, problem: Problem, host: str) -> None:
    for path in ("/healthz", "/metrics", "/v1/collections", "/nowhere"):
        said = problem(api.get(path, headers={"host": host}), 421, "misdirected_request")["detail"]
        assert "is no name of this server" in said


def test_two_names(api: httpx.Client) -> None:
    headers = [("host", "localhost"), ("host", "rebound.example")]
    assert api.get("/healthz", headers=headers).status_code == 421


def test_names_that_are_set(open_api: Api) -> None:
    access = {"admin_key": "an admin key of more than thirty-two characters"}
    with open_api(access=access, server={"hosts": ["quarry.example"]}) as api:
        assert api.get("/healthz", headers={"host": "quarry.example:443"}).status_code == 200
        assert api.get("/healthz", headers={"host": "localhost"}).status_code == 200
        assert api.get("/healthz", headers={"host": "other.example"}).status_code == 421


def test_where_keys_guard_it_a_server_may_have_any_name_that_nobody_set(open_api: Api) -> None:
    access = {"admin_key": "an admin key of more than thirty-two characters"}
    with open_api(access=access) as api:
        assert api.get("/healthz", headers={"host": "quarry.example"}).status_code == 200
    with open_api(access=access, server={"hosts": ["quarry.example"]}) as api:
        assert api.get("/healthz", headers={"host": "other.example"}).status_code == 421


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:3000", "http://6.6.6.6", "localhost"]
)
def test_pages_that_may_not_ask_for_changes(api: httpx.Client, problem: Problem, origin: str) -> None:
    for method, path in (("POST", "/v1/admin/backup"), ("POST", "/v1/collections/docs/documents:batch"), ("PUT", "/x")):
        sent = api.request(method, path, headers={"origin": origin}, content=b"{}")
        assert origin in problem(sent, 403, "forbidden")["detail"]


def test_pages_that_may(open_api: Api) -> None:
    page = "https://page.example"
    with open_api(server={"cors_origins": [page]}) as api:
        for origin in (page, "http://localhost"):
            assert api.post("/v1/search", json=SEARCH, headers={"origin": origin}).status_code == 404
        assert api.post("/v1/search", json=SEARCH, headers={"origin": "https://other.example"}).status_code == 403


def test_no_page_may_read_unless_it_is_named(api: httpx.Client) -> None:
    reply = api.get("/healthz", headers={"origin": "https://page.example"})
    assert not [name for name in reply.headers if name.startswith("access-control")]
    asked = {"origin": "https://page.example", "access-control-request-method": "POST"}
    assert api.options("/v1/search", headers=asked).status_code == 405


@pytest.mark.parametrize(("origins", "origin", "allowed"), [
    (["https://page.example"], "https://page.example", "https://page.example"),
    (["https://page.example"], "https://page.example.evil", None),
    (["https://page.example"], "http://page.example", None),
    (["*"], "https://any.example", "*"),
])  # fmt: skip
def test_cross_origin(open_api: Api, origins: list[str], origin: str, allowed: str | None) -> None:
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization",
    }
    with open_api(server={"cors_origins": origins}, access={"admin_key": ADMIN}) as api:
        preflight, reply = api.options("/v1/search", headers=asked), api.get("/healthz", headers={"origin": origin})
    assert preflight.status_code == (200 if allowed else 400)
    for each in (preflight, reply):
        assert each.headers.get("access-control-allow-origin") == allowed
        assert "access-control-allow-credentials" not in each.headers
    assert "x-request-id" in preflight.headers


def test_every_page_where_there_is_no_key(open_api: Api) -> None:
    with pytest.raises(KeylessPagesError, match="every document"), open_api(server={"cors_origins": ["*"]}):
        pass


@pytest.mark.parametrize("setting", [
    {"cors_origins": ["*", "https://a.example"]},
    {"cors_origins": ["https://a.example/"]},
    {"cors_origins": ["https://*.example"]},
    {"cors_origins": ["a.example"]},
    {"cors_origins": ["null"]},
    {"hosts": ["a.example:80"]},
    {"hosts": ["*.example"]},
    {"hosts": ["A.example"]},
    {"hosts": [""]},
])  # fmt: skip
def test_settings_that_are_no_names(setting: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"hosts has|cors_origins has"):
        ServerSettings(**setting)


SECURE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def secured(response: httpx.Response) -> dict[str, str | None]:
    """Its headers, none of them twice; and it does not say what serves it."""
    assert "server" not in response.headers
    assert all(len(response.headers.get_list(name)) == 1 for name in SECURE)
    return {name: response.headers.get(name) for name in SECURE}


def test_every_reply_is_secured(api: httpx.Client) -> None:
    assert api.put("/v1/collections/docs/documents/a", json={"text": "The sky is blue."}).status_code == 201
    replies = [
        api.get("/healthz"), api.get("/metrics"), api.get("/nowhere"), api.request("PATCH", "/v1/search"),
        api.post("/v1/search", json=SEARCH), api.post("/v1/search", json={}), api.post("/v1/search", content=b"{"),
        api.post("/v1/query", json=SEARCH | {"stream": True}), api.get("/healthz", headers={"host": "rebound.example"}),
        api.post("/v1/collections/docs/documents:batch", content=b'{"id": "b", "text": "x"}\n'),
        api.post("/v1/search", headers={"origin": "https://evil.example"}),
    ]  # fmt: skip
    assert [secured(reply) for reply in replies] == [SECURE] * len(replies)


def test_what_nothing_foresaw_is_secured_too(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.library.Library.names", lambda _: 1 / 0)
    reply = api.get("/v1/collections")
    assert (reply.status_code, secured(reply)) == (500, SECURE)


def test_the_page_may_have_its_style_and_no_script(api: httpx.Client) -> None:
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    page, document = api.get("/docs"), api.get("/openapi.json")
    assert secured(page) == SECURE | {"content-security-policy": policy, "cache-control": "no-cache"}
    assert secured(document) == SECURE | {"cache-control": "no-cache"}
    assert "<script" not in page.text
