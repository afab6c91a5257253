"""POST /v1/embeddings on a device that is busy or fails, and for callers that leave or cannot wait."""

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from models.base import DeviceLostError
from service.scheduling.job import Job
from service.scheduling.scheduler import Scheduler

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Listening = Callable[..., str]
Scripted = Callable[..., Any]
HalfAsked = Callable[[str, str, Any], socket.socket]

PATIENCE_S = 200.0


def sent(api: httpx.Client, given: object, headers: dict[str, str] | None = None, **fields: object) -> httpx.Response:
    return api.post("/v1/embeddings", json={"input": given} | fields, headers=headers)


def queued(api: httpx.Client) -> dict[str, int]:
    tokens: dict[str, int] = api.get("/v1/status").json()["engine"]["queued_tokens"]
    return tokens


def close_gate(device: Any) -> None:  # noqa: ANN401
    """From now on forwards wait, and `entered` knows of these only."""
    while device._entered.acquire(blocking=False):
        pass
    device.gate.clear()


def enter(device: Any) -> None:  # noqa: ANN401
    assert device._entered.acquire(timeout=PATIENCE_S)


def test_a_forward_that_fails_once(open_api: OpenApi, problem: Problem, scripted: Scripted) -> None:
    device = scripted()
    with open_api(device) as api:
        for fields in ({}, {"input_type": "query"}):
            device.failures.append(RuntimeError("the device burps"))
            refused = sent(api, "bees", **fields)
            body = problem(refused, 503, "embedder_unavailable")
            assert body["detail"] == "the forward failed: RuntimeError: the device burps"
            assert int(refused.headers["retry-after"]) >= 1
            assert sent(api, "bees", **fields).status_code == 200
        assert api.get("/readyz").status_code == 200


def test_a_lost_device_turns_readiness_off(open_api: OpenApi, problem: Problem, scripted: Scripted) -> None:
    device = scripted()
    with open_api(device) as api:
        device.failures.append(DeviceLostError("an illegal access"))
        for _ in range(2):
            detail = problem(sent(api, "bees"), 503, "embedder_unavailable")["detail"]
            assert "an illegal access" in detail
        ready = api.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (503, "unavailable")
        assert ready.json()["reasons"] == ["embedder: the forward failed: DeviceLostError: an illegal access"]
        assert "an illegal access" in api.get("/v1/status").json()["engine"]["trouble"]
        assert api.get("/healthz").status_code == 200


def test_a_full_queue(open_api: OpenApi, problem: Problem, scripted: Scripted) -> None:
    device = scripted()
    with open_api(device, embedding={"max_queued_tokens": 8}) as api, ThreadPoolExecutor(2) as threads:
        close_gate(device)
        computing = threads.submit(sent, api, "alpha")
        enter(device)
        waiting = threads.submit(sent, api, "beta beta beta beta beta")
        while queued(api) != {"query": 5, "bulk": 0}:
            assert not waiting.done()
        refused = sent(api, ["gamma", "delta"])
        assert "5 tokens wait in the query lane" in problem(refused, 503, "overloaded")["detail"]
        assert int(refused.headers["retry-after-ms"]) >= 50
        assert int(refused.headers["retry-after"]) >= 1
        device.gate.set()
        assert [each.result(PATIENCE_S).status_code for each in (computing, waiting)] == [200, 200]
        assert sent(api, ["gamma", "delta"]).status_code == 200


@pytest.mark.parametrize("fields", [{}, {"input_type": "query"}, {"input_type": "document"}])
def test_the_timeout_of_a_client_is_its_deadline(
    open_api: OpenApi, problem: Problem, scripted: Scripted, fields: dict[str, object]
) -> None:
    device = scripted()
    with open_api(device) as api:
        close_gate(device)
        late = sent(api, "bees", {"x-stainless-read-timeout": "0.03"}, **fields)
        body = problem(late, 504, "deadline_exceeded")
        assert body["detail"] == "the deadline of 30 ms passed in stage 'embed'"
        assert body["stage"] == "embed"
        assert late.headers["x-should-retry"] == "false"
        device.gate.set()
        assert sent(api, "bees", **fields).status_code == 200


def test_the_budget_of_the_server_is_the_deadline_of_a_query(
    open_api: OpenApi, problem: Problem, scripted: Scripted
) -> None:
    device = scripted()
    with open_api(device, budgets={"total_ms": 40}) as api:
        close_gate(device)
        for headers in ({}, {"x-stainless-read-timeout": "600"}, {"x-stainless-read-timeout": "nonsense"}):
            body = problem(sent(api, "bees", headers), 504, "deadline_exceeded")
            assert body["detail"].startswith("the deadline of 40 ms passed")
        device.gate.set()


@pytest.mark.parametrize("said", ["", "soon", "-1", "0", "nan", "inf", "-inf", "1e400", "None", "0x10", "1,5", "99999"])
def test_nonsense_for_a_timeout_is_nothing(api: httpx.Client, said: str) -> None:
    assert sent(api, "bees", {"x-stainless-read-timeout": said}).status_code == 200


def test_work_of_a_client_that_hung_up_is_dropped(
    listening: Listening, scripted: Scripted, half_asked: HalfAsked
) -> None:
    device = scripted()
    address = listening(device)
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as api, ThreadPoolExecutor(1) as threads:
        close_gate(device)
        computing = threads.submit(sent, api, "alpha")
        enter(device)
        leaving = half_asked(address, "/v1/embeddings", {"input": ["beta beta", "gamma"]})
        staying = half_asked(address, "/v1/embeddings", {"input": "delta"})
        while queued(api) != {"query": 4, "bulk": 0}:
            pass
        leaving.close()
        while queued(api) != {"query": 1, "bulk": 0}:
            pass
        device.gate.set()
        assert computing.result(PATIENCE_S).status_code == 200
        assert staying.recv(64).startswith(b"HTTP/1.1 200")
        staying.close()
        assert sent(api, "epsilon").status_code == 200
        metrics = api.get("/metrics").text
        assert 'quarry_cancelled_tokens_total{stage="queued"} 3.0' in metrics
        assert 'quarry_cancelled_tokens_total{stage="launched"} 0.0' in metrics
        assert api.get("/readyz").status_code == 200
    assert not device.saw("beta")
    assert not device.saw("gamma")
    assert device.saw("delta")


def test_a_client_that_hangs_up_in_mid_forward(listening: Listening, scripted: Scripted, half_asked: HalfAsked) -> None:
    device = scripted()
    address = listening(device)
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as api:
        close_gate(device)
        leaving = half_asked(address, "/v1/embeddings", {"input": "alpha", "input_type": "query"})
        enter(device)
        leaving.close()
        while 'quarry_cancelled_tokens_total{stage="launched"} 1.0' not in api.get("/metrics").text:
            pass
        device.gate.set()
        assert sent(api, "beta").status_code == 200
        assert queued(api) == {"query": 0, "bulk": 0}
        assert "quarry_batch_failures_total 0.0" in api.get("/metrics").text


def test_the_address_of_a_caller_is_its_share_of_the_device(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: list[tuple[str, str]] = []
    submit = Scheduler.submit

    def noted(scheduler: Scheduler, job: Job, now: float) -> None:
        jobs.append((job.lane, job.key))
        submit(scheduler, job, now)

    monkeypatch.setattr(Scheduler, "submit", noted)
    text = "The honey bees sleep in winter."
    with httpx.Client(base_url=listening(), timeout=PATIENCE_S) as api:
        sent(api, "bees")
        api.put("/v1/collections/docs/documents/a", json={"text": text})
        line = b'{"_id": "b", "text": "Wasps never sleep."}\n'
        lines = {"content-type": "application/x-ndjson"}
        api.post("/v1/collections/docs/documents:batch", content=line, headers=lines)
        api.post("/v1/query", json={"query": "When do the honey bees sleep?", "collection": "docs"})
    # An embedding, two documents and the sentence of the first, and a question.
    assert jobs == [(lane, "127.0.0.1") for lane in ("query", "bulk", "bulk", "bulk", "query")]
