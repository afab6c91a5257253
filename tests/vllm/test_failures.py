"""A real vLLM server that stops answering, with nobody to watch over it."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from e2e.conftest import Server
from vllm_on_cpu.observing import until
from vllm_on_cpu.prompter import Prompter, PrompterServer
from vllm_on_cpu.server import CONTEXT, MODEL, VllmServer

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

TEXT = "The signing key is rotated every ninety days by the operator on duty."
SEARCH = {"query": "How often is the signing key rotated?", "collection": "manual"}
QUESTION = SEARCH | {"llm": "main"}
ANSWER = "Every ninety days [1]."
DEADLINE_MS = 4000


@pytest.fixture(scope="module")
def quarry(
    serve_module: Callable[..., Server], prompter_of_all: PrompterServer, tmp_path_factory: pytest.TempPathFactory
) -> httpx.Client:
    main = {"url": prompter_of_all.url, "model": MODEL, "context": CONTEXT, "server": "vllm"}
    data_dir = tmp_path_factory.mktemp("failures") / "data"
    http = serve_module(data_dir, QUARRY_LLM=json.dumps({"main": main}))[1]
    assert http.put("/v1/collections/manual/documents/keys", json={"text": TEXT}).status_code == 201
    return http


def query(http: httpx.Client, **fields: object) -> dict[str, Any]:
    response = http.post("/v1/query", json=QUESTION | fields)
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def is_extractive_in_its_place(reply: dict[str, Any]) -> bool:
    return (reply["status"], reply["degraded"]) == ("partial", ["llm"]) and TEXT in reply["answer"]


def test_a_stopped_server_costs_the_model_and_nothing_else(
    quarry: httpx.Client, vllm: VllmServer, prompter: Prompter
) -> None:
    prompter.text = ANSWER
    os.killpg(vllm.process.pid, signal.SIGSTOP)
    try:
        reply = query(quarry, deadline_ms=DEADLINE_MS)
        assert quarry.post("/v1/search", json=SEARCH).json()["chunks"][0]["text"] == TEXT
    finally:
        os.killpg(vllm.process.pid, signal.SIGCONT)
    assert is_extractive_in_its_place(reply), reply
    assert reply["timings_ms"]["total"] < 2 * DEADLINE_MS
    until(lambda: query(quarry)["answer"] == ANSWER)
