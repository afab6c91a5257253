"""Liveness, readiness, status and metrics."""

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from indexes.data_directory import LEAST_FREE_BYTES

READY_WITHIN_S = 200.0
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]


def samples(api: httpx.Client) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    response = api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(response.text)
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(api: httpx.Client, name: str, **labels: str) -> float:
    return samples(api)[name, frozenset(labels.items())]


def test_health(api: httpx.Client) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}
    ready = api.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "reasons": [], "degraded": []})


def test_status_tells_the_state_of_everything(api: httpx.Client) -> None:
    api.put("/v1/collections/docs/documents/a", json={"text": "Words."})
    status = api.get("/v1/status").json()
    assert status["version"] == version("quarry")
    assert [info["name"] for info in status["embedders"]] == ["hashing"]
    assert status["reranker"] is None
    assert status["engine"]["trouble"] is None
    assert status["engine"]["queued_tokens"] == {"query": 0, "bulk": 0}
    model = status["engine"]["models"]["hashing"]
    assert model["batch_tokens"]["query"] >= model["batch_tokens"]["bulk"] >= 1
    assert set(model["cost"]) == {"fixed_ms", "per_token_us", "error"}
    assert status["generators"] == {"extractive": {"kind": "extractive", "state": "ready"}}
    assert status["default_llm"] == "extractive"
    assert status["maintenance_running"] is True
    assert status["budgets_ms"] == {"total": 60_000, "rerank": 500, "rewrite": 5_000}
    docs = status["collections"]["docs"]
    assert {name: docs[name] for name in ("documents", "chunks", "index_version", "seal_rows")} == {
        "documents": 1, "chunks": 1, "index_version": 1, "seal_rows": 8192,
    }  # fmt: skip
    assert [(segment["index"], segment["rows"]) for segment in docs["segments"]] == [("flat", 1)]


def test_a_secret_is_not_in_the_status(open_api: OpenApi) -> None:
    llm = {"main": {"url": "http://127.0.0.1:9", "model": "m", "key": "sk-secret"}}
    with open_api(llm=llm) as api:
        status = api.get("/v1/status")
        assert status.json()["default_llm"] == "main"
        assert "sk-secret" not in status.text


def test_metrics_after_traffic(api: httpx.Client) -> None:
    api.put("/v1/collections/docs/documents/a", json={"text": "Words about honey bees."})
    api.put("/v1/collections/docs/documents/a", json={"text": "Words about honey bees."})
    question = {"query": "words about bees", "collection": "docs"}
    api.post("/v1/query", json=question)
    api.post("/v1/query", json=question | {"stream": True})
    api.post("/v1/query", json=question | {"query": "zebra"})
    api.post("/v1/search", json=question | {"top_k": 0})
    assert value(api, "quarry_documents_total", outcome="created") == 1
    assert value(api, "quarry_documents_total", outcome="unchanged") == 1
    assert value(api, "quarry_answers_total", status="ok") == 2
    assert value(api, "quarry_answers_total", status="no_answer") == 1
    assert value(api, "quarry_problems_total", code="invalid_request") == 1
    assert value(api, "quarry_requests_total", route="/v1/search", method="POST", status="422") == 1
    assert value(api, "quarry_requests_total", route="/v1/query", method="POST", status="200") == 3
    assert value(api, "quarry_request_seconds_count", route="/v1/query") == 3
    for stage in ("tokenize", "queue", "embed", "search", "lexical", "prompt", "llm_total", "other", "total"):
        assert value(api, "quarry_stage_seconds_count", stage=stage) == 3
    assert value(api, "quarry_batch_tokens_count", model="hashing", lane="bulk") >= 1
    assert value(api, "quarry_batch_tokens_sum", model="hashing", lane="bulk") == 4 + 4  # the chunk and its sentence
    assert value(api, "quarry_batch_seconds_count", model="hashing", lane="query") >= 2
    assert value(api, "quarry_tokens_total", model="hashing") == value(
        api, "quarry_computed_tokens_total", model="hashing"
    )
    for lane in ("query", "bulk"):
        assert value(api, "quarry_queue_tokens", lane=lane) == 0
        assert value(api, "quarry_batch_budget_tokens", model="hashing", lane=lane) >= 1
        assert value(api, "quarry_queue_seconds_count", lane=lane) >= 1
    assert value(api, "quarry_batch_failures_total") == 0
    assert value(api, "quarry_citations_invalid_total") == 0
    assert value(api, "quarry_index_rows", collection="docs", index="flat") == 1
    assert value(api, "quarry_index_rows", collection="docs", index="ivf_pq") == 0


def test_metrics_of_an_index(open_api: OpenApi) -> None:
    with open_api(index={"seal_rows": 256, "shadow_share": 1.0}) as api:
        lines = "\n".join(f'{{"id": "d{i}", "text": "Bees of hive {i}."}}' for i in range(300))
        headers = {"content-type": "application/x-ndjson"}
        api.post("/v1/collections/docs/documents:batch", content=lines, headers=headers)
        assert ("quarry_index_live_recall", frozenset({("collection", "docs")})) not in samples(api)
        api.post("/v1/collections/docs:rebuild")
        api.delete("/v1/collections/docs/documents/d0")
        while not value(api, "quarry_index_compared_searches", collection="docs"):  # maintenance announces nothing
            assert api.post("/v1/search", json={"query": "bees of hive 9", "collection": "docs"}).is_success
        assert value(api, "quarry_index_rows", collection="docs", index="ivf_pq") == 299
        assert value(api, "quarry_index_dead_rows", collection="docs") == 1
        assert value(api, "quarry_index_version", collection="docs") == 301
        assert value(api, "quarry_index_bytes", collection="docs") > 300 * 64 * 4
        recall, low, high = (
            value(api, f"quarry_index_live_recall{end}", collection="docs") for end in ("", "_low", "_high")
        )
        assert low <= recall <= high
        assert low < high
        assert value(api, "quarry_index_failures_total") == 0


def test_a_dropped_collection_leaves_the_metrics(api: httpx.Client) -> None:
    api.put("/v1/collections/docs/documents/a", json={"text": "Words."})
    assert "docs" in api.get("/metrics").text
    api.delete("/v1/collections/docs")
    assert not any(dict(labels).get("collection") == "docs" for _, labels in samples(api))


def test_ids_do_not_become_labels(api: httpx.Client) -> None:
    api.put("/v1/collections/docs/documents/secret-name", json={"text": "Words."})
    api.get("/v1/nothing/secret-name")
    text = api.get("/metrics").text
    assert "secret-name" not in text
    assert 'route="/v1/collections/{collection}/documents/{id:path}"' in text
    assert 'route="unmatched"' in text


def test_a_damaged_collection_costs_the_others_nothing(
    open_api: OpenApi, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_api() as api:
        api.put("/v1/collections/docs/documents/a", json={"text": "Words."})
        (store,) = (tmp_path / "data" / "collections").rglob("store.db")
        api.put("/v1/collections/other/documents/a", json={"text": "Words."})
    kept = store.rename(tmp_path / "kept.db")
    with open_api() as api:
        assert "store.db is missing" in caplog.text
        status = api.get("/v1/status").json()
        assert "store.db is missing" in status["collections"]["docs"]["unavailable"]
        assert status["degraded"] == ["collection:docs"]
        ready = api.get("/readyz")
        assert (ready.status_code, ready.json()["degraded"]) == (200, ["collection:docs"])
        listed = api.get("/v1/collections").json()
        assert "store.db is missing" in listed["unavailable"]["docs"]
        assert "docs" not in [collection["name"] for collection in listed["data"]]
        lost = api.get("/v1/collections/docs")
        assert (lost.status_code, lost.json()["error"]["code"]) == (503, "vector_store_unavailable")
        assert len(api.post("/v1/search", json={"query": "Words.", "collection": "other"}).json()["chunks"]) == 1
    kept.rename(store)
    with open_api() as api:
        assert api.get("/v1/collections/docs").json()["documents"] == 1
        assert api.get("/readyz").json()["degraded"] == []


def test_a_disk_that_is_nearly_full_is_named_and_search_is_ready(
    open_api: OpenApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_api() as api:
        free, asked = LEAST_FREE_BYTES - 1, []

        def disk_usage(path: Path) -> SimpleNamespace:
            asked.append(path)
            return SimpleNamespace(free=free)

        monkeypatch.setattr(shutil, "disk_usage", disk_usage)
        ready = api.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready", "reasons": [], "degraded": ["disk"]})
        assert len(asked) == 1
        assert api.get("/v1/status").json()["degraded"] == ["disk"]
        free = LEAST_FREE_BYTES
        assert api.get("/readyz").json()["degraded"] == []


def test_a_damaged_snapshot_is_in_the_log(open_api: OpenApi, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_api(index={"seal_rows": 256}) as api:
        lines = [f'{{"id": "d{i}", "text": "Bees of hive {i}."}}' for i in range(300)]
        headers = {"content-type": "application/x-ndjson"}
        api.post("/v1/collections/docs/documents:batch", content="\n".join(lines), headers=headers)
        assert api.post("/v1/collections/docs:rebuild").is_success
    for index in (tmp_path / "data" / "collections").rglob("index.faiss"):
        index.write_bytes(bytes([index.read_bytes()[0] ^ 1]) + index.read_bytes()[1:])
    with open_api(index={"seal_rows": 256}):
        assert "collection docs: " in caplog.text
        assert "index.faiss is damaged" in caplog.text


def test_a_language_model_is_watched_from_the_start(open_api: OpenApi) -> None:
    """Nobody listens there, and nobody has to ask a question to find that out."""
    llm = {"main": {"url": "http://127.0.0.1:9", "model": "m"}}
    with open_api(llm=llm) as api:
        deadline = time.monotonic() + READY_WITHIN_S
        while (main := api.get("/v1/status").json()["generators"]["main"])["breaker"]["state"] == "closed":
            assert time.monotonic() < deadline
        assert "cannot be reached" in main["breaker"]["cause"]
        assert "cannot be reached" in main["state"]
        assert api.get("/readyz").json()["degraded"] == ["llm"]
        assert value(api, "quarry_llm_breaker_state", llm="main") > 0
        assert value(api, "quarry_llm_slots", llm="main") == 0
