"""Servers of language models: taken out of use and back while questions are asked, and all of them down."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import FakeVllm, fake_vllm
from scripted_llm import PATIENCE_S

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

TEXT = "The honey bees of the northern meadow sleep in winter."
QUESTION = {"query": "When do the honey bees sleep?", "collection": "docs", "deadline_ms": 300_000}
SAYS = "In winter [1]."


@pytest.fixture
def fakes() -> Iterator[tuple[FakeVllm, FakeVllm]]:
    options = Options(model="tiny", ttft_ms=1, itl_ms=0)
    with fake_vllm(options) as first, fake_vllm(options) as second:
        for fake in (first, second):
            fake.script({"text": SAYS})
        yield first, second


@pytest.fixture
def api(open_api: OpenApi, fakes: tuple[FakeVllm, FakeVllm]) -> Iterator[httpx.Client]:
    llm = {"main": {"urls": [fake.url for fake in fakes], "model": "tiny", "server": "vllm"}}
    with open_api(llm=llm, answer={"min_score": -1}) as client:
        client.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        yield client


def drain(api: httpx.Client, fake: FakeVllm, **fields: object) -> dict[str, Any]:
    reply = api.post("/v1/admin/llms/main:drain", json={"server": fake.url, **fields})
    assert reply.is_success, reply.text
    drained: dict[str, Any] = reply.json()
    return drained


def answered(fake: FakeVllm) -> int:
    """Streams that it was asked for; the canary is none."""
    return sum(bool(sent.get("stream")) for sent in fake.state()["requests"])


def test_a_drained_server_gets_no_question_until_it_is_asked_again(
    api: httpx.Client, fakes: tuple[FakeVllm, FakeVllm]
) -> None:
    first, second = fakes
    assert drain(api, first) == {
        "llm": "main",
        "server": first.url,
        "drained": True,
        "streams": 0,
        "outstanding_tokens": 0,
        "state": "ready",
    }
    for _ in range(3):
        assert api.post("/v1/query", json=QUESTION).json()["answer"] == SAYS
    assert (answered(first), answered(second)) == (0, 3)
    assert drain(api, first)["drained"] is True  # again: nothing changes
    reply = api.post("/v1/admin/llms/main:undrain", json={"server": first.url}).json()
    assert (reply["drained"], reply["server"]) == (False, first.url)
    api.post("/v1/query", json=QUESTION)
    assert (answered(first), answered(second)) == (1, 3)


def test_the_reply_may_wait_for_what_it_writes(api: httpx.Client, fakes: tuple[FakeVllm, FakeVllm]) -> None:
    first = fakes[0]
    first.script({"text": SAYS}, engine="hung")
    with ThreadPoolExecutor(2) as threads:
        asking = threads.submit(api.post, "/v1/query", json=QUESTION)
        while not answered(first):
            pass
        busy = drain(api, first)
        assert (busy["streams"], busy["outstanding_tokens"] > 0) == (1, True)
        draining = threads.submit(drain, api, first, wait_ms=600_000)
        first.script({"text": SAYS})
        assert draining.result(PATIENCE_S) == busy | {"streams": 0, "outstanding_tokens": 0}
        assert asking.result(PATIENCE_S).json()["answer"] == SAYS


def test_with_all_of_them_drained_or_down_there_are_quotes(api: httpx.Client, fakes: tuple[FakeVllm, FakeVllm]) -> None:
    for fake in fakes:
        drain(api, fake)
    reply = api.post("/v1/query", json=QUESTION).json()
    assert (reply["status"], reply["degraded"]) == ("partial", ["llm"])
    assert reply["answer"].startswith(TEXT)
    assert api.get("/readyz").json()["degraded"] == ["llm"]
    api.post("/v1/admin/llms/main:undrain", json={"server": fakes[1].url})
    assert api.get("/readyz").json()["degraded"] == []
    fakes[1].script(engine="dead")
    reply = api.post("/v1/query", json=QUESTION).json()
    assert (reply["status"], reply["degraded"]) == ("partial", ["llm"])
    assert [answered(fake) for fake in fakes] == [0, 1]


def test_the_status_and_the_metrics_have_each_server(api: httpx.Client, fakes: tuple[FakeVllm, FakeVllm]) -> None:
    api.post("/v1/query", json=QUESTION)
    drain(api, fakes[1])
    status = api.get("/v1/status").json()
    main, urls = status["generators"]["main"], [fake.url for fake in fakes]
    assert main["state"] == "ready"
    assert [(one["url"], one["drained"], one["context"]) for one in main["servers"]] == [
        (urls[0], False, 2048),
        (urls[1], True, 2048),
    ]
    assert set(status["vllm"]) == {f"main {url}" for url in urls}
    scrape = api.get("/metrics").text
    assert f'quarry_llm_server_requests_total{{llm="main",outcome="ok",server="{urls[0]}"}} 1.0' in scrape
    assert f'quarry_llm_server_state{{llm="main",server="{urls[1]}"}} 1.0' in scrape
    assert 'quarry_llm_moves_total{llm="main"} 0.0' in scrape


def test_what_is_not_there_is_refused(api: httpx.Client, problem: Problem, fakes: tuple[FakeVllm, FakeVllm]) -> None:
    for action in ("drain", "undrain"):
        path = f"/v1/admin/llms/main:{action}"
        absent = problem(api.post(path, json={"server": "http://10.0.0.7"}), 404, "not_found")
        assert fakes[0].url in absent["detail"]
        problem(api.post(path, json={}), 422, "invalid_request")
        problem(api.post(path, json={"server": fakes[0].url, "url": "x"}), 422, "invalid_request")
        for name in ("other", "extractive"):
            body = {"server": fakes[0].url}
            unknown = problem(api.post(f"/v1/admin/llms/{name}:{action}", json=body), 404, "not_found")
            assert "there are main" in unknown["detail"]
    late = {"server": fakes[0].url, "wait_ms": 600_001}
    problem(api.post("/v1/admin/llms/main:drain", json=late), 422, "invalid_request")
