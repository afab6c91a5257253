"""A real vLLM server and a fake one beside it, behind one language model."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.conftest import Server
from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import FakeVllm, fake_vllm
from vllm_on_cpu.observing import PATIENCE_S, until
from vllm_on_cpu.prompter import Prompter, PrompterServer
from vllm_on_cpu.server import CONTEXT, MAX_REQUESTS, MAX_SEQS, MODEL, VllmServer

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

TEXT = "The signing key is rotated every ninety days by the operator on duty."
QUESTION = {"query": "How often is the signing key rotated?", "collection": "manual", "deadline_ms": 300_000}
REAL, FAKE = "Every ninety days [1].", "Four times a year [1]."


@dataclass(frozen=True, slots=True)
class Pair:
    """Quarry before both servers: ``real_first`` and ``fake_first`` differ in their order."""

    http: httpx.Client
    real: str
    fake: FakeVllm

    def ask(self, llm: str) -> str:
        reply = self.http.post("/v1/query", json=QUESTION | {"llm": llm}, timeout=PATIENCE_S)
        said: dict[str, Any] = reply.json()
        assert (reply.status_code, said.get("status"), said.get("degraded")) == (200, "ok", []), reply.text
        return str(said["answer"])

    def order(self, action: str, server: str) -> dict[str, Any]:
        reply = self.http.post(f"/v1/admin/llms/real_first:{action}", json={"server": server})
        assert reply.is_success, reply.text
        ordered: dict[str, Any] = reply.json()
        return ordered

    def state(self, server: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = self.http.get("/v1/status").json()["generators"]["real_first"]["servers"]
        return next(one for one in found if one["url"] == server)


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeVllm]:
    options = Options(MODEL, CONTEXT, MAX_SEQS, MAX_REQUESTS)
    with fake_vllm(options, tmp_path_factory.mktemp("beside") / "vllm.sock") as running:
        yield running


@pytest.fixture(scope="module")
def pair(
    serve_module: Callable[..., Server],
    prompter_of_all: PrompterServer,
    fake: FakeVllm,
    tmp_path_factory: pytest.TempPathFactory,
) -> Pair:
    common = {"model": MODEL, "context": CONTEXT, "server": "vllm"}
    urls = [prompter_of_all.url, fake.url]
    llms = {"real_first": {"urls": urls, **common}, "fake_first": {"urls": urls[::-1], **common}}
    data_dir: Path = tmp_path_factory.mktemp("pool") / "data"
    http = serve_module(data_dir, QUARRY_LLM=json.dumps(llms))[1]
    assert http.put("/v1/collections/manual/documents/keys", json={"text": TEXT}).status_code == 201
    return Pair(http, prompter_of_all.url, fake)


@pytest.fixture(autouse=True)
def _say(prompter: Prompter, fake: FakeVllm) -> None:
    prompter.text = REAL
    fake.script({"text": FAKE})


def test_both_answer_and_the_one_with_less_to_do_is_asked(pair: Pair) -> None:
    assert (pair.ask("real_first"), pair.ask("fake_first")) == (REAL, FAKE)
    pair.fake.script({"text": FAKE}, engine="hung")
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(pair.ask, "fake_first")
        until(lambda: pair.fake.state()["running"] > 0)
        assert [pair.ask("fake_first") for _ in range(3)] == [REAL] * 3
        pair.fake.script({"text": FAKE})
        assert held.result(PATIENCE_S) == FAKE
    assert pair.state(pair.real)["context"] == pair.state(pair.fake.url)["context"] == CONTEXT
    assert set(pair.http.get("/v1/status").json()["vllm"]) >= {f"real_first {pair.real}", f"real_first {pair.fake.url}"}


def test_the_real_one_is_drained_and_asked_again(pair: Pair) -> None:
    drained = pair.order("drain", pair.real)
    assert (drained["drained"], drained["streams"], drained["outstanding_tokens"]) == (True, 0, 0)
    assert [pair.ask("real_first") for _ in range(3)] == [FAKE] * 3
    pair.order("undrain", pair.real)
    assert pair.ask("real_first") == REAL


def test_a_real_server_that_freezes_costs_no_answer(pair: Pair, vllm: VllmServer) -> None:
    """The question that waits for it is taken to the other, long before its deadline."""
    os.killpg(vllm.process.pid, signal.SIGSTOP)
    try:
        assert pair.ask("real_first") == FAKE
        assert pair.state(pair.real)["breaker"]["state"] != "closed"
        assert pair.ask("real_first") == FAKE
    finally:
        os.killpg(vllm.process.pid, signal.SIGCONT)
    until(lambda: pair.ask("real_first") == REAL)
