"""A reranker without weights, connections that hang up, and a server with keys."""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.base import Reranker, TokenPair
from models.cross_encoder import CrossEncoderReranker
from overlap import Overlap
from reranked import COUNT, SERVED, text
from service.access.keys import Keys
from service.access.scope import Scope
from tenants.asking import ADMIN, DOCUMENTS, RED, Asking, made
from wire import HEAD_S, PATIENCE_S, STALL_S, place

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]


@pytest.fixture
def overlap(monkeypatch: pytest.MonkeyPatch) -> Overlap:
    """What `rerank.model` loads, whatever it names."""
    reranker = Overlap()
    monkeypatch.setattr(CrossEncoderReranker, "load", lambda _, **__: reranker)
    return reranker


@pytest.fixture
def read(overlap: Reranker, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the cross-encoder reads, which likes a text the better the longer it is: the search's order backwards."""
    texts: list[str] = []
    tokenize = overlap.tokenize

    def noting(query: str, documents: list[str]) -> list[TokenPair]:
        texts.extend(documents)
        found: list[TokenPair] = tokenize(query, documents)
        return found

    monkeypatch.setattr(overlap, "tokenize", noting)
    monkeypatch.setattr(overlap, "_score", lambda pair: sum(pair.type_ids) / 100)
    return texts


@pytest.fixture
def docs(read: list[str], open_api: OpenApi) -> Iterator[Callable[..., httpx.Client]]:
    """(**settings) -> the application with a reranker and documents that it likes the better the less a search does."""
    opened: list[AbstractContextManager[httpx.Client]] = []

    def start(**settings: Any) -> httpx.Client:  # noqa: ANN401
        opened.append(open_api(**{"rerank": SERVED, "budgets": {"rerank_ms": None}} | settings))
        api = opened[-1].__enter__()
        for number in range(COUNT):
            body = {"text": text(number), "title": f"T{number}"}
            assert api.put(f"/v1/collections/docs/documents/d{number}", json=body).status_code == 201
        read.clear()
        return api

    yield start
    for api in opened:
        api.__exit__(None, None, None)


@pytest.fixture
def half_asked() -> Callable[[str, str, Any], socket.socket]:
    """(address, path, body) -> the connection of a request whose reply nobody has read."""

    def send(address: str, path: str, body: Any) -> socket.socket:  # noqa: ANN401
        url, content = httpx.URL(address), json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        connection = socket.create_connection((url.host, url.port or 0), timeout=PATIENCE_S)
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        return connection

    return send


@pytest.fixture
def sealed() -> Callable[[httpx.Client], None]:
    """(api) -> once this returns, IVF-PQ covers the rows of `docs`, if they are enough."""

    def seal(api: httpx.Client) -> None:
        reply = api.post("/v1/collections/docs:rebuild")
        assert reply.status_code == 200, reply.text

    return seal


@pytest.fixture
def llama_index() -> str:
    """A Python that has LlamaIndex, which asks for another openai than ours and so lives elsewhere.

    ``LLAMA_INDEX_PYTHON`` names it; without it the one that `make test` makes is taken.
    """
    python = Path(os.environ.get("LLAMA_INDEX_PYTHON", ".venv-llama-index/bin/python")).absolute()
    if not python.is_file():
        pytest.skip(f"there is no {python}: make test installs LlamaIndex, or LLAMA_INDEX_PYTHON names its Python")
    return str(python)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "data")


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


@pytest.fixture
def address(listening: Callable[..., str]) -> str:
    return listening(server={"head_timeout_s": HEAD_S, "body_timeout_s": STALL_S, "max_body_bytes": 32 << 20})


@pytest.fixture
def connect(address: str) -> Iterator[Callable[[], socket.socket]]:
    """() -> a new connection."""
    opened: list[socket.socket] = []

    def one() -> socket.socket:
        opened.append(socket.create_connection(place(address), timeout=PATIENCE_S))
        return opened[-1]

    yield one
    for connection in opened:
        connection.close()


@pytest.fixture
def nothing_unforeseen(listening: Callable[..., str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Looked at before the server ends, which is with ``listening``."""
    yield
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
