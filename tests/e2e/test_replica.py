"""A writer and a replica as real processes, beside a real Milvus: one question, one answer, whoever is asked."""

import json
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from milvus_lite import MilvusLite

pytestmark = pytest.mark.cluster

ADMIN = "a key of an operator with more than 32 characters"
DOCUMENTS = "/v1/collections/docs/documents"
PATIENCE_S = 300.0
TEXTS = {
    "bees": "Honey bees of the meadow sleep in winter. They keep the hive warm by moving their wings.",
    "boiler": "The boiler of the old house is cold. Somebody has to bleed the radiators before winter comes.",
    "river": "The river floods the meadow in spring. Nobody builds there, and herons stand in the water.",
    "tax": "The tax on bread was raised twice. Bakers of the town closed their shops for a day.",
}
QUESTIONS = ("How do honey bees survive the winter?", "Why is the boiler cold?", "Where do herons stand?")
# Of a path's parameters.
NAMES = {"collection": "docs", "id": "bees", "name": "live", "key_id": "0", "llm": "main", "model": "docs"}

Serve = Callable[..., tuple[Any, httpx.Client]]


@dataclass(frozen=True, slots=True)
class Pair:
    """A writer with documents, and a replica that has heard of them."""

    milvus: MilvusLite
    process: Any
    writer: httpx.Client
    replica: httpx.Client
    data_dir: Path
    variables: dict[str, str]


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "it never came about"
        time.sleep(0.05)


def put(server: httpx.Client, name: str, **body: Any) -> None:  # noqa: ANN401
    reply = server.put(f"{DOCUMENTS}/{name}", json={"text": TEXTS.get(name, TEXTS["tax"])} | body)
    assert reply.is_success, reply.text


@pytest.fixture(scope="module")
def pair(milvus_lite: MilvusLite, serve_module: Serve, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    variables = {
        "QUARRY_ACCESS__ADMIN_KEY": ADMIN,
        "QUARRY_INDEX__MILVUS__URL": milvus_lite.url,
        "QUARRY_INDEX__MILVUS__TYPE": "FLAT",
        "QUARRY_INDEX__MILVUS__CATALOG": f"test_{secrets.token_hex(6)}",
        "QUARRY_INDEX__MILVUS__TIMEOUT_MS": "120000",
    }
    data_dir, nowhere = tmp_path_factory.mktemp("writer"), tmp_path_factory.mktemp("replica") / "none"
    process, writer = serve_module(data_dir, **variables)
    _, replica = serve_module(nowhere, QUARRY_SERVER__ROLE="replica", **variables)
    for server in (writer, replica):
        server.headers["Authorization"] = f"Bearer {ADMIN}"
    for number, name in enumerate(TEXTS):
        put(writer, name, title=name, metadata={"number": number, "tenant": "red" if number % 2 else "blue"})
    until(lambda: replica.get("/readyz").status_code == 200)
    yield Pair(milvus_lite, process, writer, replica, data_dir, variables)
    assert not nowhere.exists(), "a replica has no data directory"


def ask(server: httpx.Client, path: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401
    reply = server.post(path, json={"collection": "docs"} | body)
    assert reply.status_code == 200, reply.text
    asked: dict[str, Any] = reply.json()
    return asked


def same(told: dict[str, Any]) -> dict[str, Any]:
    """Without what differs from one reply to the next, or from one process to another."""
    apart = {"id", "timings_ms", "llm_timings_ms", "index_version", "request_id", "confidence"}
    return {name: value for name, value in told.items() if name not in apart}


@pytest.mark.parametrize("query", QUESTIONS)
def test_hits_and_answers_are_the_writers(pair: Pair, query: str) -> None:
    for filters in (
        None,
        {"type": "eq", "key": "tenant", "value": "blue"},
        {"type": "gte", "key": "number", "value": 2},
    ):
        asked = {"query": query, "filters": filters, "top_k": 3}
        here, there = (ask(server, "/v1/search", **asked) for server in (pair.writer, pair.replica))
        assert here["chunks"]
        assert same(there) == same(here)
        here, there = (ask(server, "/v1/query", **asked) for server in (pair.writer, pair.replica))
        assert same(there) == same(here)
        assert there["confidence"] == pytest.approx(here["confidence"], abs=1e-3)


def test_an_answer_as_events_and_in_others_shapes(pair: Pair) -> None:
    with pair.replica.stream(
        "POST", "/v1/query", json={"collection": "docs", "query": QUESTIONS[0], "stream": True}
    ) as reply:
        events = [line.removeprefix("event: ") for line in reply.iter_lines() if line.startswith("event: ")]
    assert (events[0], events[-1]) == ("retrieval", "done")
    asked = {"model": "docs", "messages": [{"role": "user", "content": QUESTIONS[0]}]}
    chat = pair.replica.post("/v1/chat/completions", json=asked)
    assert chat.status_code == 200
    assert chat.json()["choices"][0]["message"]["content"]
    embedded = pair.replica.post("/v1/embeddings", json={"model": "all-MiniLM-L6-v2", "input": "bees"})
    assert len(embedded.json()["data"][0]["embedding"]) == 384


def test_what_there_is_to_see(pair: Pair) -> None:
    here, there = (server.get("/v1/collections/docs").json() for server in (pair.writer, pair.replica))
    assert (there["documents"], there["chunks"]) == (here["documents"], here["chunks"])
    for name in ("embedding_model", "dimension", "metric", "language", "chunking", "llm", "min_confidence"):
        assert there[name] == here[name]
    listed = pair.replica.get("/v1/collections").json()
    assert [one["name"] for one in listed["data"]] == ["docs"]
    assert listed["unavailable"] == {}
    status = pair.replica.get("/v1/status").json()
    assert (status["role"], status["jobs"], status["parsing"], status["degraded"]) == ("replica", None, None, [])
    assert pair.writer.get("/v1/status").json()["role"] == "writer"
    assert 'quarry_lost{what="milvus"} 0.0' in pair.replica.get("/metrics").text
    assert "docs" in [model["id"] for model in pair.replica.get("/v1/models").json()["data"]]
    assert pair.replica.get("/").status_code == 200
    assert pair.replica.get("/healthz").status_code == 200


def test_a_delete_that_was_acknowledged_is_seen_at_once(pair: Pair) -> None:
    for number in range(10):
        put(pair.writer, "gone", text=f"A text about {number} lighthouses that nobody needs.")
        asked = {"query": "lighthouses", "top_k": 1}
        assert ask(pair.replica, "/v1/search", **asked)["chunks"][0]["document_id"] == "gone"
        assert pair.writer.delete(f"{DOCUMENTS}/gone").status_code == 200
        assert "gone" not in [hit["document_id"] for hit in ask(pair.replica, "/v1/search", **asked)["chunks"]]


def test_a_collection_made_renamed_changed_and_dropped(pair: Pair) -> None:
    def found(name: str) -> int:
        return pair.replica.post("/v1/search", json={"collection": name, "query": "bread"}).status_code

    def lowest() -> Any:  # noqa: ANN401
        return pair.replica.get("/v1/collections/second").json().get("min_confidence")

    assert found("second") == 404
    assert pair.writer.put("/v1/collections/second", json={}).status_code == 201
    until(lambda: found("second") == 200)
    assert pair.writer.put("/v1/aliases/live", json={"collection": "second"}).status_code == 201
    until(lambda: found("live") == 200)
    assert pair.replica.get("/v1/aliases/live").json()["collection"] == "second"
    assert pair.writer.put("/v1/aliases/live", json={"collection": "docs"}).status_code == 200
    until(lambda: pair.replica.get("/v1/aliases/live").json()["collection"] == "docs")
    assert pair.writer.put("/v1/collections/second", json={"min_confidence": 0.75}).status_code == 200
    until(lambda: lowest() == 0.75)
    assert pair.writer.delete("/v1/aliases/live").status_code == 200
    assert pair.writer.delete("/v1/collections/second").status_code == 200
    until(lambda: found("second") == 404)
    until(lambda: found("live") == 404)


def test_every_route_is_served_or_refused_in_order(pair: Pair) -> None:
    paths: dict[str, dict[str, Any]] = pair.replica.get("/openapi.json").json()["paths"]
    refused = 0
    for path, item in paths.items():
        for method, operation in item.items():
            asked = path.format(**NAMES)
            body = {} if "requestBody" in operation else None
            reply = pair.replica.request(method, asked, json=body)
            is_refused = "`replica_queries_only`" in operation["responses"].get("503", {}).get("description", "")
            if not is_refused:
                assert reply.status_code in {200, 400, 404, 422}, f"{method} {path}: {reply.text}"
                continue
            refused += 1
            told = reply.json()
            assert (reply.status_code, told["error"]["code"]) == (503, "replica_queries_only"), f"{method} {path}"
            assert "is a replica, which answers queries only" in told["detail"]
            assert reply.headers["Retry-After"] == "5"
            assert reply.headers["content-type"] == "application/problem+json"
    assert refused > 15


def test_nothing_of_a_body_is_waited_for(pair: Pair) -> None:
    url = pair.replica.base_url
    head = f"PUT {DOCUMENTS}/large HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection((url.host, url.port or 0), timeout=PATIENCE_S) as connection:
        connection.sendall(head.encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 503 ")
    assert pair.replica.put(f"{DOCUMENTS}/x", headers={"Authorization": "Bearer none"}).status_code == 401


def test_without_milvus_queries_are_a_503_and_both_say_so(pair: Pair) -> None:
    pair.milvus.stop()
    try:
        until(lambda: pair.replica.get("/readyz").status_code == 503)
        told = pair.replica.get("/readyz").json()
        assert any(reason.startswith("milvus: ") for reason in told["reasons"])
        until(lambda: "milvus" in pair.writer.get("/readyz").json()["degraded"])
        assert pair.writer.get("/readyz").status_code == 200
        reply = pair.replica.post("/v1/search", json={"collection": "docs", "query": "bees"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "vector_store_unavailable")
        assert reply.headers["Retry-After"]
        assert pair.replica.get("/v1/models").status_code == 200, "names are known"
        assert pair.replica.get("/v1/collections").json()["unavailable"].keys() == {"docs"}
    finally:
        pair.milvus.start()
    until(lambda: pair.replica.get("/readyz").status_code == 200)
    until(lambda: "milvus" not in pair.writer.get("/readyz").json()["degraded"])
    assert ask(pair.replica, "/v1/search", query=QUESTIONS[0])["chunks"][0]["document_id"] == "bees"


def test_a_replica_that_starts_without_milvus_answers_when_it_is_there(
    pair: Pair, serve: Serve, tmp_path: Path
) -> None:
    pair.milvus.stop()
    try:
        variables = pair.variables | {"QUARRY_INDEX__MILVUS__TIMEOUT_MS": "1000"}
        _, late = serve(tmp_path / "none", QUARRY_SERVER__ROLE="replica", **variables)
        late.headers["Authorization"] = f"Bearer {ADMIN}"
        assert late.get("/readyz").status_code == 503
        assert late.get("/healthz").status_code == 200
    finally:
        pair.milvus.start()
    until(lambda: late.get("/readyz").status_code == 200)
    until(lambda: late.post("/v1/search", json={"collection": "docs", "query": "bees"}).status_code == 200)


def test_the_writer_killed_replicas_answer_and_it_comes_back(pair: Pair, serve: Serve) -> None:
    """Last, as it ends the writer of the others."""
    before = ask(pair.replica, "/v1/query", query=QUESTIONS[0])
    pair.process.send_signal(signal.SIGKILL)
    pair.process.wait(timeout=60)
    for query in QUESTIONS:
        assert ask(pair.replica, "/v1/query", query=query)["chunks"]
    assert same(ask(pair.replica, "/v1/query", query=QUESTIONS[0])) == same(before)
    refused = pair.replica.put(f"{DOCUMENTS}/more", json={"text": "More."})
    assert (refused.status_code, json.loads(refused.text)["error"]["code"]) == (503, "replica_queries_only")
    _, writer = serve(pair.data_dir, **pair.variables)
    writer.headers["Authorization"] = f"Bearer {ADMIN}"
    until(lambda: writer.get("/readyz").json()["degraded"] == [])
    put(writer, "late", text="A lighthouse stands on the cape.")
    hits = ask(pair.replica, "/v1/search", query="lighthouse on the cape", top_k=1)["chunks"]
    assert hits[0]["document_id"] == "late"
