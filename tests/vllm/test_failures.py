"""A real vLLM server that stops, or dies in the middle of an answer. Nothing here starts it again."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from e2e.conftest import Server
from loadtests.fake_vllm.server import served
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
def breakable(start_vllm: Callable[..., VllmServer]) -> VllmServer:
    """A server of this module's own."""
    return start_vllm()


@pytest.fixture(scope="module")
def prompter_of_breakable(breakable: VllmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrompterServer]:
    app = Prompter(str(breakable.socket))
    with served(app, tmp_path_factory.mktemp("prompter") / "vllm.sock") as url:
        yield PrompterServer(url, app)


@pytest.fixture(scope="module")
def quarry(
    serve: Callable[..., Server], prompter_of_breakable: PrompterServer, tmp_path_factory: pytest.TempPathFactory
) -> httpx.Client:
    main = {"url": prompter_of_breakable.url, "model": MODEL, "context": CONTEXT, "server": "vllm"}
    data_dir = tmp_path_factory.mktemp("failures") / "data"
    http = serve(data_dir, QUARRY_LLM=json.dumps({"main": main}))[1]
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
    quarry: httpx.Client, breakable: VllmServer, prompter_of_breakable: PrompterServer
) -> None:
    prompter_of_breakable.app.text = ANSWER
    os.killpg(breakable.process.pid, signal.SIGSTOP)
    try:
        reply = query(quarry, deadline_ms=DEADLINE_MS)
        assert quarry.post("/v1/search", json=SEARCH).json()["chunks"][0]["text"] == TEXT
    finally:
        os.killpg(breakable.process.pid, signal.SIGCONT)
    assert is_extractive_in_its_place(reply), reply
    assert reply["timings_ms"]["total"] < 2 * DEADLINE_MS
    until(lambda: query(quarry)["answer"] == ANSWER)


def test_a_server_that_dies_in_the_middle_ends_the_stream_with_an_error(
    quarry: httpx.Client, breakable: VllmServer, prompter_of_breakable: PrompterServer
) -> None:
    prompter_of_breakable.app.text = None
    prompter_of_breakable.app.extra = {"ignore_eos": True, "max_tokens": CONTEXT - 500}
    told: list[str] = []
    with quarry.stream("POST", "/v1/query", json=QUESTION | {"stream": True}) as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                told.append(line.removeprefix("event: "))
                if told.count("token") == 1:
                    _kill_the_engine(breakable)
                    told.append("killed")
    assert (told[0], told[-1]) == ("retrieval", "error")
    assert "done" not in told
    # What is left of it, a socket that nobody listens on or none, costs no more than it did stopped.
    breakable.process.wait(600)
    assert is_extractive_in_its_place(query(quarry))
    assert quarry.get("/v1/status").json()["generators"]["main"]["state"] != "ready"


def _kill_the_engine(server: VllmServer) -> None:
    (engine,) = (child for child in psutil.Process(server.process.pid).children() if "Engine" in child.name())
    engine.kill()
