"""Questions that would wait too long: refused by their heads, and taken on as soon as there is room."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from models.base import TokenIds, Vectors
from models.hashing import HashingEmbedder
from service.ingest import ingestor

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

PATIENCE_S = 200.0
TEXT = "The honey bees sleep in winter."
ASKED = {"query": "when do bees sleep", "collection": "docs"}
CHAT = {"model": "docs", "messages": [{"role": "user", "content": "when do bees sleep"}]}


class Gated(HashingEmbedder):
    """Its forwards wait at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.entered = threading.Event(), threading.Event()
        self.gate.set()

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        return super().embed(batch)


def value(api: httpx.Client, sample: str) -> float:
    lines = api.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample))


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/search", ASKED), ("/v1/query", ASKED), ("/v1/chat/completions", CHAT)]
)
def test_who_would_wait_is_refused_before_the_body_is_looked_at(
    open_api: OpenApi, problem: Problem, path: str, body: dict[str, Any]
) -> None:
    embedder = Gated()
    with open_api(embedder, limits={"questions": 1}) as api, ThreadPoolExecutor(1) as pool:
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        assert api.post(path, json=body).is_success
        embedder.gate.clear()
        embedder.entered.clear()
        first = pool.submit(api.post, path, json=_other(body))  # one that is in no cache
        try:
            assert embedder.entered.wait(PATIENCE_S)
            assert value(api, "quarry_backlog_questions") == 1
            refused = api.post(path, content=b"no JSON", headers={"content-type": "application/json"})
            assert "1 questions are under way; the limit is 1" in problem(refused, 503, "overloaded")["detail"]
            assert int(refused.headers["retry-after"]) >= 1
            assert api.get("/v1/collections/docs").is_success, "this asks for no search"
        finally:
            embedder.gate.set()
        assert first.result().is_success
        assert value(api, "quarry_backlog_questions") == 0
        assert api.post(path, json=body).is_success


def _other(body: dict[str, Any]) -> dict[str, Any]:
    text = "where do honey bees sleep"
    return body | ({"query": text} if "query" in body else {"messages": [{"role": "user", "content": text}]})


def test_a_question_that_fails_makes_room_too(open_api: OpenApi, problem: Problem) -> None:
    embedder = Gated()
    with open_api(embedder, limits={"questions": 1}) as api:
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        assert api.post("/v1/search", json=ASKED | {"query": "bees"}).is_success
        embedder.gate.clear()
        try:
            late = api.post("/v1/search", json=ASKED | {"deadline_ms": 100})
            problem(late, 504, "deadline_exceeded")
        finally:
            embedder.gate.set()
        assert value(api, "quarry_backlog_questions") == 0
        assert api.post("/v1/search", json=ASKED).is_success


def test_who_would_wait_for_a_document_is_refused_before_its_body_is_looked_at(
    open_api: OpenApi, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingestor, "_CONCURRENT_DOCUMENTS", 1)
    embedder, docs = Gated(), "/v1/collections/docs"
    with open_api(embedder, limits={"write_wait_ms": 0.001}) as api, ThreadPoolExecutor(1) as pool:
        assert api.put(f"{docs}/documents/a", json={"text": TEXT}).is_success
        embedder.gate.clear()
        embedder.entered.clear()
        first = pool.submit(api.put, f"{docs}/documents/b", json={"text": TEXT})
        try:
            assert embedder.entered.wait(PATIENCE_S)
            for refused in (
                api.put(f"{docs}/documents/c", content=b"no JSON", headers={"content-type": "application/json"}),
                api.post(f"{docs}/documents:batch", content=b"no JSON"),
            ):
                assert "1 documents are under way" in problem(refused, 503, "overloaded")["detail"]
                assert int(refused.headers["retry-after"]) >= 1
            job = api.put(f"{docs}/documents/d?wait_ms=0", json={"text": TEXT})
            assert job.status_code == 202, "a job waits for nobody"
        finally:
            embedder.gate.set()
        assert first.result().is_success
