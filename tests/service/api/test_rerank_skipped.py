"""Hits that were to be reranked and were not: the reply says so, or is an error."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from models.base import Launched, Reranker
from reranked import LONGEST_FIRST, NEAREST_FIRST, OFF, found
from three_routes import ANSWERING, ROUTES, asked, told
from wire import PATIENCE_S

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
Docs = Callable[..., httpx.Client]


@pytest.fixture
def api(docs: Docs) -> httpx.Client:
    return docs()


def wait_for(reached: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < limit
        time.sleep(0.01)


def failing(_: object) -> Launched:
    raise RuntimeError("the device burps")


@pytest.mark.parametrize("route", ANSWERING)
def test_an_answer_from_the_order_of_the_search_says_so(
    api: httpx.Client,
    overlap: Reranker,
    monkeypatch: pytest.MonkeyPatch,
    route: str,
) -> None:
    monkeypatch.setattr(overlap, "launch", failing)
    reply = told(asked(api, route, explain=True))
    assert (reply["status"], reply["degraded"]) == ("partial", ["rerank"])
    assert [chunk["document_id"] for chunk in reply["chunks"]] == NEAREST_FIRST
    assert reply["citations"]
    (warning,) = reply["warnings"]
    assert warning["code"] == "rerank_skipped"
    assert warning["message"] == "the chunks are in the order of the search, not reranked: the cross-encoder failed"
    assert (reply["explain"]["rerank"]["scored"], reply["explain"]["rerank"]["left"]) == (0, "failed")
    metrics = api.get("/metrics").text
    assert 'quarry_reranks_skipped_total{reason="failed"} 1.0' in metrics
    assert 'quarry_degraded_total{rung="rerank"} 1.0' in metrics
    whole = told(asked(api, route, rerank=OFF, on_failure="fail"))  # who wants none misses none
    assert whole["degraded"] == []
    nothing = asked(api, route, "zebra crossing")
    assert (told(nothing)["status"], told(nothing)["no_answer_reason"]) == ("partial", None)
    body = nothing.json()
    assert (body["choices"][0]["message"]["content"] if "choices" in body else body["answer"]) == ""


def test_a_search_in_its_own_order_warns(
    api: httpx.Client,
    overlap: Reranker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overlap, "launch", failing)
    reply = asked(api, "/v1/search")
    assert found(reply) == NEAREST_FIRST
    assert [warning["code"] for warning in told(reply)["warnings"]] == ["rerank_skipped"]
    told(asked(api, "/v1/query", generate=False))
    assert 'quarry_degraded_total{rung="rerank"} 1.0' in api.get("/metrics").text


@pytest.mark.parametrize("route", ROUTES)
def test_who_wants_it_all_or_nothing_gets_an_error(
    api: httpx.Client,
    overlap: Reranker,
    monkeypatch: pytest.MonkeyPatch,
    problem: Problem,
    route: str,
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(overlap, "launch", failing)
        failed = problem(asked(api, route, on_failure="fail"), 503, "reranker_unavailable")
        assert (failed["stage"], failed["retryable"]) == ("rerank", True)
        assert "the device burps" in failed["detail"]
    assert found(asked(api, route, on_failure="fail")) == LONGEST_FIRST


@pytest.mark.parametrize("on_failure", ["degrade", "fail"])
def test_it_waits_for_the_device_no_longer_than_its_budget(
    docs: Docs, scripted: Callable[..., Any], problem: Problem, on_failure: str
) -> None:
    device = scripted()
    api = docs(embedder=device, budgets={"rerank_ms": 50})
    asked(api, "/v1/search", rerank=OFF)  # its vector is known from now on
    device.gate.clear()
    begun = len(device.batches)
    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(api.post, "/v1/embeddings", json={"input": "a"})
        wait_for(lambda: len(device.batches) > begun)
        reply = asked(api, "/v1/search", on_failure=on_failure)
        device.gate.set()
        assert holding.result().is_success
    if on_failure == "fail":
        failed = problem(reply, 504, "deadline_exceeded")
        assert failed["stage"] == "rerank"
        assert "budgets.rerank_ms of 50 ms" in failed["detail"]
    else:
        assert found(reply) == NEAREST_FIRST
        assert told(reply)["warnings"][0]["code"] == "rerank_skipped"
    assert asked(api, "/v1/search", "now?").status_code == 200
    assert api.get("/v1/status").json()["engine"]["queued_tokens"] == {"query": 0, "bulk": 0}


def test_a_stream_says_the_same_as_the_reply(
    api: httpx.Client,
    overlap: Reranker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for broken in (False, True):
        if broken:
            monkeypatch.setattr(overlap, "launch", failing)
        reply = told(asked(api, "/v1/query", explain=True))
        streamed = asked(api, "/v1/query", explain=True, stream=True).text
        frames = [frame.split("\n") for frame in streamed.split("\n\n") if frame]
        events = {name.removeprefix("event: "): json.loads(data.removeprefix("data: ")) for name, data in frames}
        for field in ("chunks", "warnings", "searched"):
            assert events["retrieval"][field] == reply[field]
        assert events["retrieval"]["explain"]["rerank"] == reply["explain"]["rerank"]
        for field in ("status", "degraded", "answer"):
            assert events["done"][field] == reply[field]
        assert set(events["done"]["timings_ms"]) == set(reply["timings_ms"])
        assert "rerank" in events["retrieval"]["timings_ms"]
        assert (reply["degraded"] == ["rerank"]) is broken
