"""What the fake vLLM does when it is told to fail; what it does else is held to the real one in tests/vllm."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.fake_vllm.options import Options, parsed
from loadtests.fake_vllm.server import FakeVllm, fake_vllm
from vllm_on_cpu.observing import half_asked, until

CHAT = "/v1/chat/completions"
SAID = "Paris is the capital of France [1]."
PATIENCE_S = 200.0
SHORT_S = 0.3


@pytest.fixture
def fake() -> Iterator[FakeVllm]:
    with fake_vllm(Options(model="tiny", ttft_ms=1, itl_ms=1)) as server:
        yield server


@pytest.fixture
def http(fake: FakeVllm) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=fake.url, timeout=PATIENCE_S, trust_env=False) as client:
        yield client


def asking(text: str = "What is the capital?", **fields: object) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {"model": "tiny", "messages": messages, "structured_outputs": {"choice": [SAID]}, **fields}


def streamed(http: httpx.Client, timeout_s: float = PATIENCE_S) -> tuple[list[str], Exception | None]:
    """The events of a stream, and what ended it before its time."""
    told = b""
    try:
        with http.stream("POST", CHAT, json=asking(stream=True), timeout=timeout_s) as response:
            assert response.status_code == 200
            for piece in response.iter_raw():
                told += piece
    except httpx.TransportError as error:
        return told.decode().split("\n\n"), error
    return told.decode().split("\n\n"), None


def spoken(events: list[str]) -> str:
    said = [json.loads(event.removeprefix("data: ")) for event in events if event.endswith("]}")]
    return "".join(choice["delta"]["content"] for chunk in said for choice in chunk["choices"])


@pytest.mark.parametrize(
    ("fault", "error"),
    [("stall", httpx.ReadTimeout), ("reset", httpx.ReadError), ("cut", httpx.RemoteProtocolError)],
)
def test_a_stream_breaks_after_as_many_tokens_as_it_was_told(
    fake: FakeVllm, http: httpx.Client, fault: str, error: type[Exception]
) -> None:
    fake.script({"fault": fault, "after": 3})
    events, ended = streamed(http, SHORT_S)
    assert isinstance(ended, error)
    assert spoken(events) == "Paris is"
    until(lambda: fake.state()["running"] == 0)
    assert fake.state()["aborted"] == 1


def test_an_error_in_the_middle_is_followed_by_done(fake: FakeVllm, http: httpx.Client) -> None:
    fake.script({"fault": "error", "after": 3})
    *told, error, done, nothing = streamed(http)[0]
    assert (spoken(told), done, nothing) == ("Paris is", "data: [DONE]", "")
    assert json.loads(error.removeprefix("data: "))["error"]["code"] == 500
    assert http.post(CHAT, json=asking()).status_code == 500


def test_garbage_is_one_event_that_is_no_json(fake: FakeVllm, http: httpx.Client) -> None:
    fake.script({"fault": "garbage", "after": 3})
    events, ended = streamed(http)
    (garbage,) = (event for event in events[:-2] if not event.endswith("}"))
    with pytest.raises(json.JSONDecodeError):
        json.loads(garbage.removeprefix("data: "))
    assert (ended, spoken(events), events[-2]) == (None, SAID, "data: [DONE]")
    with pytest.raises(json.JSONDecodeError):
        http.post(CHAT, json=asking()).json()


def test_a_drip_is_the_whole_stream_byte_by_byte(fake: FakeVllm, http: httpx.Client) -> None:
    fake.script({"fault": "drip", "drip_ms": 0})
    with http.stream("POST", CHAT, json=asking(stream=True, max_tokens=2)) as response:
        sizes = [len(piece) for piece in response.iter_raw(1)]
    assert set(sizes) == {1}
    assert spoken(streamed(http)[0]) == SAID


@pytest.mark.parametrize(("fault", "status"), [("busy", 503), ("dead", 500)])
def test_a_refusal_comes_before_the_stream(fake: FakeVllm, http: httpx.Client, fault: str, status: int) -> None:
    fake.script({"fault": fault, "times": 2})
    replies = [http.post(CHAT, json=asking(stream=stream)) for stream in (True, False, True)]
    assert [reply.status_code for reply in replies] == [status, status, 200]
    assert "retry-after" not in replies[0].headers


def test_a_frozen_request_gets_nothing_while_others_are_answered(fake: FakeVllm, http: httpx.Client) -> None:
    fake.script({"fault": "freeze", "contains": "capital"})
    with pytest.raises(httpx.ReadTimeout):
        http.post(CHAT, json=asking(), timeout=SHORT_S)
    assert http.post(CHAT, json=asking("What else?")).status_code == 200
    until(lambda: fake.state()["aborted"] == 1)


def test_a_hung_engine_is_healthy_and_says_nothing(fake: FakeVllm, http: httpx.Client) -> None:
    fake.script(engine="hung")
    assert http.get("/health").status_code == 200
    assert isinstance(streamed(http, SHORT_S)[1], httpx.ReadTimeout)
    fake.script()
    assert spoken(streamed(http)[0]) == SAID


def test_a_dead_engine_says_so_also_in_the_middle(fake: FakeVllm, http: httpx.Client) -> None:
    fake.script({"itl_ms": 50})
    connection = half_asked(fake.url, CHAT, asking(stream=True))
    until(lambda: fake.state()["running"] == 1)
    fake.script(engine="dead")
    assert (http.get("/health").status_code, http.post(CHAT, json=asking()).status_code) == (503, 500)
    told = b""
    while not told.endswith(b"0\r\n\r\n"):
        told += connection.recv(65_536)
    connection.close()
    assert b'"error"' in told
    assert b"[DONE]" in told


def test_a_frozen_server_answers_nothing_at_all(fake: FakeVllm, http: httpx.Client) -> None:
    fake.script(engine="frozen")
    for path in ("/health", "/metrics", "/v1/models"):
        with pytest.raises(httpx.ReadTimeout):
            http.get(path, timeout=SHORT_S)
    fake.script()
    assert http.get("/health").status_code == 200


def test_rules_are_used_up_in_order(fake: FakeVllm, http: httpx.Client) -> None:
    fake.script({"text": "first", "times": 1}, {"text": "Rome", "contains": "Italy"}, {"text": "last"})
    asked = [asking(text) for text in ("of France?", "of Italy?", "of Spain?")]
    replies = [http.post(CHAT, json={**body, "structured_outputs": None}).json() for body in asked]
    assert [reply["choices"][0]["message"]["content"] for reply in replies] == ["first", "Rome", "last"]


@pytest.mark.parametrize(
    "orders",
    [
        {"rule": []},
        {"rules": [{"fault": "none"}]},
        {"rules": [{"delay": 1}]},
        {"engine": "off"},
        {"rules": [{"after": -1}]},
    ],
)
def test_orders_that_make_no_sense_are_refused(http: httpx.Client, orders: dict[str, Any]) -> None:
    assert http.post("/fake/script", json=orders).status_code == 400


def test_delays_are_at_least_what_was_asked_for(fake: FakeVllm, http: httpx.Client) -> None:
    fake.script({"ttft_ms": 60, "itl_ms": 10, "jitter": 0.5})
    timings = http.post(CHAT, json=asking()).json()["metrics"]
    assert timings["time_to_first_token_ms"] >= 30
    assert timings["mean_itl_ms"] >= 5


def test_the_state_holds_what_was_asked(fake: FakeVllm, http: httpx.Client) -> None:
    body = asking(priority=-1, cache_salt="tenant", unheard_of=True)
    http.post(CHAT, json=body)
    state = fake.state()
    assert (state["requests"], state["finished"], state["running"]) == ([body], 1, 0)


def test_the_command_line_is_called_as_vllm_is() -> None:
    flags = "--uds here.sock --served-model-name m --max-num-seqs 3 --scheduling-policy priority --ttft-ms 5"
    options, uds, port = parsed(flags.split())
    assert (options, uds, port) == (
        Options("m", max_num_seqs=3, ttft_ms=5, per_request_metrics=False, prompt_tokens_details=False),
        Path("here.sock"),
        0,
    )
    with pytest.raises(SystemExit):
        parsed(["--port", "1", "--unheard-of"])
