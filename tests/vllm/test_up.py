"""`quarry up` and a real vLLM: one parent for all tests here, in their order; each leaves it as it found it."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from vllm_on_cpu.load import again_and_again, lateness
from vllm_on_cpu.observing import gauge, half_asked, until
from vllm_on_cpu.server import MODEL
from vllm_on_cpu.up import CONTEXT, LLM, MAX_SEQS, Up, session_members, start_up

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1800)]

TEXT = "The signing key is rotated every ninety days by the operator on duty."
SEARCH = {"query": "How often is the signing key rotated?", "collection": "manual"}
# Random weights that take the likeliest token say the same few words for ever.
LONG = SEARCH | {"temperature": 0, "max_tokens": 30_000}
DEADLINE_MS = 20_000
FROZEN_WITHIN_S = 6.0
SATURATED_S = 60.0
# Ahead of every canary.
FIRST = -5


@pytest.fixture(scope="module")
def starting(vllm_command: Path, tiny_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """From when `quarry serve` is ready."""
    up = start_up(vllm_command, tiny_weights, tmp_path_factory.mktemp("up"))
    try:
        up.until(lambda: up.events("serve", "ready"))
        yield up
    finally:
        up.end()


@pytest.fixture
def up(starting: Up) -> Up:
    """With everything ready."""
    starting.until(lambda: starting.llm()[-1:] == starting.llm("ready")[-1:] != [])
    starting.until(lambda: state(starting) == "ready")
    with starting.http() as http:
        if http.get("/v1/collections/manual/documents/keys").status_code == 404:  # held while the server started
            assert http.put("/v1/collections/manual/documents/keys", json={"text": TEXT}).status_code == 201
    return starting


@pytest.fixture
def http(up: Up) -> Iterator[httpx.Client]:
    with up.http() as client:
        yield client


def state(up: Up) -> str:
    """What the status page says of the language model."""
    return str(httpx.get(f"{up.url}/v1/status", timeout=120, trust_env=False).json()["generators"][LLM]["state"])


def search(http: httpx.Client) -> None:
    """It must find the text, whatever happens to the language model."""
    response = http.post("/v1/search", json=SEARCH)
    assert response.status_code == 200, response.text
    assert response.json()["chunks"][0]["text"] == TEXT


def query(http: httpx.Client) -> dict[str, Any]:
    """It must be answered in time, by whom it may be."""
    reply = asked(http, DEADLINE_MS)
    assert is_written(reply) or is_extractive(reply), reply
    assert reply["timings_ms"]["total"] < DEADLINE_MS
    return reply


def asked(http: httpx.Client, deadline_ms: int) -> dict[str, Any]:
    response = http.post("/v1/query", json=SEARCH | {"max_tokens": 20, "deadline_ms": deadline_ms})
    assert response.status_code == 200, response.text
    reply: dict[str, Any] = response.json()
    return reply


def is_written(reply: dict[str, Any]) -> bool:
    return reply["status"] == "ok" and "llm" not in reply["degraded"] and TEXT not in reply["answer"]


def is_extractive(reply: dict[str, Any]) -> bool:
    return (reply["status"], reply["degraded"]) == ("partial", ["llm"]) and TEXT in reply["answer"]


def test_first_the_search_then_the_language_model(starting: Up, request: pytest.FixtureRequest) -> None:
    with starting.http() as http:
        assert http.get("/readyz").status_code == 200
        assert state(starting) != "ready"
        up = request.getfixturevalue("up")
        assert is_written(query(http))
    (serve_starting, serve_ready), (llm_starting,), (llm_ready, *_) = up.events("serve"), up.starts, up.llm("ready")
    order = [serve_starting, serve_ready, llm_starting, llm_ready]
    assert [event["monotonic"] for event in order] == sorted(event["monotonic"] for event in order)
    assert len({os.getsid(pid) for pid in (up.process.pid, up.serve_pid, up.vllm_pid)}) == 3


def test_flags_are_those_that_this_build_lists(up: Up) -> None:
    known = set(json.loads((up.data_dir / "run" / "vllm-flags.json").read_text())["flags"])
    given = [word for word in psutil.Process(up.vllm_pid).cmdline() if word.startswith("--")]
    assert set(given) <= known
    assert {"--uds", "--max-num-queued-reqs", "--scheduling-policy", "--shutdown-timeout", "--enforce-eager"} <= set(
        given
    )


def test_a_stopped_server_is_seen_at_once_and_goes_on_where_it_was(up: Up, http: httpx.Client) -> None:
    pid, seen = up.vllm_pid, len(up.llm("frozen"))
    try:
        with lateness() as late:
            stopped_at = time.monotonic()
            os.killpg(pid, signal.SIGSTOP)
            up.until(lambda: len(up.llm("frozen")) > seen)
        assert up.llm("frozen")[-1]["monotonic"] - stopped_at < FROZEN_WITHIN_S + late.seconds
        until(lambda: "frozen: no token" in state(up))
        search(http)
        assert is_extractive(query(http))
    finally:
        os.killpg(pid, signal.SIGCONT)
    up.until(lambda: is_written(query(http)))
    assert up.llm()[-1]["phase"] == "ready"
    assert up.vllm_pid == pid


def test_a_server_that_is_only_busy_is_never_killed(up: Up, http: httpx.Client) -> None:
    """Canaries wait behind streams that never end, and the streams are nobody's that this process hears of."""
    pid, starts = up.vllm_pid, up.starts
    endless = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "Go on."}],
        "max_tokens": CONTEXT - 100,
        "ignore_eos": True,
        "stream": True,
        "priority": FIRST,
    }
    with up.vllm_http() as vllm, ExitStack() as stack:

        def saturated() -> bool:
            """Finished streams are replaced; nobody reads what they say."""
            waiting = gauge(vllm, "num_requests_waiting")
            for _ in range(int(max(0, 8 * MAX_SEQS - waiting))):
                connection = half_asked(f"unix://{up.socket}", "/v1/chat/completions", endless)
                stack.callback(connection.close)
            return waiting > 0

        until(saturated)
        short = endless | {"max_tokens": 1, "stream": False, "priority": FIRST + 1}
        patient = half_asked(f"unix://{up.socket}", "/v1/chat/completions", short)
        stack.callback(patient.close)
        until(lambda: gauge(vllm, "num_requests_running") == MAX_SEQS)
        made, end = gauge(vllm, "generation_tokens_total"), time.monotonic() + SATURATED_S
        while time.monotonic() < end:
            assert saturated()
            search(http)
            reply = asked(http, DEADLINE_MS)
            # All cores are taken, so that there may be time for the chunks only.
            assert (reply["status"], reply["degraded"][:1]) == ("partial", ["llm"]), reply
            assert reply["chunks"][0]["text"] == TEXT
            assert up.starts == starts
        assert gauge(vllm, "generation_tokens_total") > made
        patient.setblocking(False)  # asked behind the others, as canaries are
        with pytest.raises(BlockingIOError):
            patient.recv(1)
    up.until(lambda: is_written(query(http)))
    assert up.vllm_pid == pid


def test_a_killed_serve_costs_no_language_model(up: Up) -> None:
    serve, vllm, starts = up.serve_pid, up.vllm_pid, up.starts
    before = psutil.Process(vllm).create_time()
    os.kill(serve, signal.SIGKILL)
    up.until(lambda: len(up.events("serve", "ready")) > 1 and up.serve_pid != serve)
    with up.http() as http:
        up.until(lambda: is_written(query(http)))
        search(http)
    assert up.events("serve", "down")[-1]["why"].startswith("killed by SIGKILL")
    assert up.starts == starts
    process = psutil.Process(vllm)
    assert (process.create_time(), process.ppid()) == (before, up.process.pid)
    assert session_members(serve) == []


def told_until_killed(up: Up, victim: int) -> list[str]:
    """Names of a stream's events; the victim is killed at the first token."""
    told: list[str] = []
    with up.http() as http, http.stream("POST", "/v1/query", json=LONG | {"stream": True}) as response:
        for line in response.iter_lines():
            if line.startswith("event: "):
                told.append(line.removeprefix("event: "))
                if told.count("token") == 1 and told[-1] == "token":
                    os.kill(victim, signal.SIGKILL)
    return told


@pytest.mark.parametrize(
    ("victim", "cause"), [(Up.engine_pid, "EngineDeadError"), (lambda up: up.vllm_pid, "killed by SIGKILL")]
)
def test_a_killed_server_is_back_by_itself(up: Up, http: httpx.Client, victim: Callable[[Up], int], cause: str) -> None:
    vllm, lives = up.vllm_pid, len(up.llm("ready"))
    replies: list[dict[str, Any]] = []
    with again_and_again(lambda: search(http), lambda: replies.append(query(http))) as (searches, _):
        told = told_until_killed(up, victim(up))
        assert (told[0], told[1], told[-1]) == ("retrieval", "token", "error")
        assert "done" not in told
        up.until(lambda: cause in state(up))
        up.until(lambda: len(up.llm("ready")) > lives)
        assert session_members(vllm) == []
        up.until(lambda: is_written(replies[-1]))
    assert searches.times > 1
    assert any(map(is_extractive, replies))
    assert up.vllm_pid != vllm
    assert cause in up.llm("down")[-1]["why"]


def test_an_end_in_order_finishes_the_streams_first(up: Up, http: httpx.Client) -> None:
    serve, vllm = up.serve_pid, up.vllm_pid
    names: list[str] = []
    refused_at = None
    with http.stream("POST", "/v1/query", json=LONG | {"stream": True, "max_tokens": 2000}) as response:
        for line in response.iter_lines():
            names += [line.removeprefix("event: ")] if line.startswith("event: ") else []
            if refused_at is None and names == ["retrieval"]:
                up.process.send_signal(signal.SIGTERM)
                up.until(lambda: up.events("up", "draining") and is_refused(up))
                refused_at = len(names)
    assert names[-1] == "done", names
    assert names[refused_at:].count("token") > 1
    assert up.process.wait(300) == 0
    ends = [up.events(name)[-1] for name in ("serve", f"llm-{LLM}", "up")]
    assert [event["phase"] for event in ends] == ["ended"] * 3
    assert [event["monotonic"] for event in ends] == sorted(event["monotonic"] for event in ends)
    assert (session_members(serve), session_members(vllm)) == ([], [])


def is_refused(up: Up) -> bool:
    """A new question is: by the server, or, once the last stream has been written, by there being none any more.

    The end may come between the question and its answer, whose connection is then reset.
    """
    try:
        return httpx.post(f"{up.url}/v1/query", json=SEARCH, timeout=120, trust_env=False).status_code == 503
    except (httpx.NetworkError, httpx.RemoteProtocolError):
        return True
