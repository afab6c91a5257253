"""A real server with two embedders and a reranker, which is the one that the session shares."""

import json
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

Server = tuple[subprocess.Popen[bytes], httpx.Client]

DOCUMENTS = {
    "bees": "Honey bees sleep in their hive in winter.",
    "pumps": "A pump that fails is replaced by the night shift.",
    "keys": "Keys are rotated with one command; the old ones stay valid for a day.",
}
PATIENCE_S = 200.0


def queued(http: httpx.Client) -> dict[str, int]:
    tokens: dict[str, int] = http.get("/v1/status").json()["engine"]["queued_tokens"]
    return tokens


def total(http: httpx.Client, metric: str) -> float:
    lines = http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{metric}_total{{"))


def many_texts() -> bytes:
    """Of a request that keeps the device busy for many seconds."""
    texts = [f"{text} {n} " * 20 for n in range(300) for text in DOCUMENTS.values()]
    return json.dumps({"input": texts}).encode()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_dropped_and_survived(http: httpx.Client, cancelled_before: float) -> None:
    wait_until(lambda: total(http, "quarry_cancelled_tokens") > cancelled_before)
    wait_until(lambda: not any(queued(http).values()))
    assert http.get("/readyz").status_code == 200
    assert http.post("/v1/embeddings", json={"input": "Still here."}).status_code == 200


def test_it_is_ready_and_tells_of_all_models(http: httpx.Client) -> None:
    assert http.get("/readyz").json() == {"status": "ready", "reasons": [], "degraded": []}
    status = http.get("/v1/status").json()
    assert [info["name"] for info in status["embedders"]] == ["all-MiniLM-L6-v2", "tiny-embedder"]
    assert status["reranker"]["name"] == "tiny-reranker"
    assert set(status["engine"]["models"]) == {"all-MiniLM-L6-v2", "tiny-embedder", "tiny-reranker"}
    for model in status["engine"]["models"].values():
        assert model["batch_tokens"]["query"] >= 256
        assert model["cost"]["per_token_us"] > 0


def test_both_embed_and_each_is_itself(http: httpx.Client) -> None:
    texts = list(DOCUMENTS.values())
    for name, dimension in (("all-MiniLM-L6-v2", 384), ("tiny-embedder", 32)):
        reply = http.post("/v1/embeddings", json={"model": name, "input": texts}).json()
        together = np.array([item["embedding"] for item in reply["data"]])
        assert together.shape == (3, dimension)
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-3)
        for text, row in zip(texts, together, strict=True):
            alone = http.post("/v1/embeddings", json={"model": name, "input": text}).json()
            assert np.dot(alone["data"][0]["embedding"], row) > 0.999
    assert http.post("/v1/embeddings", json={"model": "third", "input": "a"}).status_code == 404


def test_a_collection_of_each(http: httpx.Client) -> None:
    for name, dimension in (("all-MiniLM-L6-v2", 384), ("tiny-embedder", 32)):
        made = http.put(f"/v1/collections/{name}", json={"embedding_model": name}).json()
        assert made["dimension"] == dimension
        for document_id, text in DOCUMENTS.items():
            put = http.put(f"/v1/collections/{name}/documents/{document_id}", json={"text": text})
            assert put.status_code == 201
        search = {"query": DOCUMENTS["keys"], "collection": name, "rerank": {"enabled": False}}
        reply = http.post("/v1/search", json=search).json()
        assert reply["chunks"][0]["document_id"] == "keys"  # the very text is the nearest to any model


@pytest.mark.parametrize("route", ["/v1/rerank", "/v2/rerank"])
def test_reranking(http: httpx.Client, route: str) -> None:
    body = {"model": "tiny-reranker", "query": "keys", "documents": list(DOCUMENTS.values()), "top_n": 2}
    results = http.post(route, json=body).json()["results"]
    assert len(results) == 2
    assert results[0]["relevance_score"] >= results[1]["relevance_score"]


def test_a_client_that_is_cut_off_in_mid_request(http: httpx.Client) -> None:
    cancelled = total(http, "quarry_cancelled_tokens")
    content = many_texts()
    head = "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection((http.base_url.host, http.base_url.port or 0), timeout=PATIENCE_S) as connection:
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        wait_until(lambda: any(queued(http).values()))
        reset = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    assert_dropped_and_survived(http, cancelled)


def test_a_client_process_that_is_killed(http: httpx.Client, tmp_path: Path) -> None:
    cancelled = total(http, "quarry_cancelled_tokens")
    (tmp_path / "body.json").write_bytes(many_texts())
    code = (
        "import sys, httpx; httpx.post(sys.argv[1], content=open(sys.argv[2], 'rb').read(), "
        "headers={'content-type': 'application/json'}, timeout=600, trust_env=False)"
    )
    url = str(http.base_url.join("/v1/embeddings"))
    with subprocess.Popen([sys.executable, "-c", code, url, tmp_path / "body.json"]) as client:
        wait_until(lambda: any(queued(http).values()))
        client.kill()
    assert_dropped_and_survived(http, cancelled)


def test_another_default_model_and_a_stop_in_order(
    serve: Callable[..., Server], tmp_path: Path, tiny_embedder: Path
) -> None:
    process, http = serve(tmp_path / "data", QUARRY_EMBEDDING__MODEL=str(tiny_embedder))
    assert http.post("/v1/embeddings", json={"input": "a"}).json()["model"] == "tiny-embedder"
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
