"""A request is refused by its head, where that is enough, before a byte of its body is read."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import Message

from models.hashing import HashingEmbedder
from scripted_memory import ScriptedMemory
from service.access.keys import Keys, NewKey
from service.access.rights import Rights
from service.access.scope import Scope
from service.api import bodies
from service.api.route import CheckedRoute
from service.app import Outside, create_app
from service.settings import Settings

PATIENCE_S = 200.0
JSON = "application/json"
SMALL = 4096


def answered(data_dir: Path, scope: Scope, method: str, path: str, *headers: tuple[str, str]) -> int:
    """The status for whoever has a key of ``scope`` and the collection ``docs``, with a body that nobody may read."""
    key = str(Keys(data_dir).create(NewKey("somebody", Rights(frozenset({scope}), frozenset({"docs"}))))[1])
    settings = Settings(data_dir=data_dir, server={"max_small_body_bytes": SMALL})
    app = create_app(settings, Outside(HashingEmbedder(), memory=ScriptedMemory()))
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body is read")

    async def send(message: Message) -> None:
        sent.append(message)

    async def asked() -> None:
        async with app.router.lifespan_context(app):
            raw = [(name.encode(), value.encode()) for name, value in (("x-api-key", key), *headers)]
            http = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}
            await app(http, receive, send)

    asyncio.run(asked())
    (status,) = [message["status"] for message in sent if "status" in message]
    return int(status)


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("ingest", "POST", "/v1/search"),
        ("ingest", "POST", "/v1/chat/completions"),
        ("query", "PUT", "/v1/collections/docs"),
        ("query", "PUT", "/v1/collections/docs/documents/a"),
        ("query", "POST", "/v1/collections/docs/documents:batch"),
        ("ingest", "PUT", "/v1/collections/vault/documents/a"),
        ("admin", "POST", "/v1/admin/keys"),
        ("admin", "POST", "/v1/collections/vault:purge"),
        ("ingest", "POST", "/v2/rerank"),
    ],
)
def test_what_the_key_lacks_is_said_first(tmp_path: Path, scope: Scope, method: str, path: str) -> None:
    assert answered(tmp_path, scope, method, path, ("content-type", JSON), ("content-length", "999")) == 403


@pytest.mark.parametrize("length", [("content-length", "9"), ("transfer-encoding", "chunked")])
def test_then_what_the_body_says_it_is(tmp_path: Path, length: tuple[str, str]) -> None:
    assert answered(tmp_path, "query", "POST", "/v1/search", ("content-type", "text/plain"), length) == 415


@pytest.mark.parametrize("path", ["/v1/search", "/v1/query", "/v1/chat/completions"])
def test_then_how_long_it_says_it_is(tmp_path: Path, path: str) -> None:
    announced = ("content-length", str(SMALL + 1))
    assert answered(tmp_path, "query", "POST", path, ("content-type", JSON), announced) == 413


def test_nothing_is_asked_where_a_route_does_not_see_it(tmp_path: Path) -> None:
    for included in create_app(Settings(data_dir=tmp_path)).routes:
        assert included.include_context.dependencies == [], "dependencies belong to the router: see CheckedRoute"
        assert all(isinstance(route, CheckedRoute) for route in included.original_router.routes)


@pytest.mark.parametrize("is_chunked", [True, False])
def test_small_bodies_have_a_limit_of_their_own(
    open_api: Callable[..., Any], problem: Callable[..., dict[str, Any]], is_chunked: bool
) -> None:
    text = b"x" * SMALL
    with open_api(server={"max_small_body_bytes": SMALL}) as api:
        search = b'{"query": "%s"}' % text
        sent = api.post("/v1/search", content=iter([search]) if is_chunked else search, headers={"content-type": JSON})
        assert f"the limit of {SMALL} bytes" in problem(sent, 413, "payload_too_large")["detail"]
        assert api.put("/v1/collections/docs/documents/a", json={"text": text.decode()}).status_code == 201
        assert api.post("/v1/embeddings", json={"input": text.decode()}).status_code == 200


def test_others_are_answered_while_a_long_body_is_looked_at(
    listening: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, gate, look = threading.Event(), threading.Event(), bodies.refuse_dense

    def slowly(raw: bytes) -> None:
        if len(raw) > SMALL:
            entered.set()
            assert gate.wait(PATIENCE_S)
        look(raw)

    monkeypatch.setattr(bodies, "refuse_dense", slowly)
    body = b'{"input":["x"],"more":[%s]}' % b",".join([b"[]"] * 200_000)
    with (
        httpx.Client(base_url=listening(), timeout=PATIENCE_S, trust_env=False) as api,
        ThreadPoolExecutor(1) as thread,
    ):
        sent = thread.submit(api.post, "/v1/embeddings", content=body, headers={"content-type": JSON})
        assert entered.wait(PATIENCE_S)
        assert [api.get("/healthz").status_code for _ in range(20)] == [200] * 20
        assert not sent.done()
        gate.set()
        assert sent.result(PATIENCE_S).status_code == 400
