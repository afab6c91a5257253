"""What a vLLM server does, held against the real one and the fake one alike."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import httpx
import pytest

from service.generation.vllm_figures import NAMES, Quantiles, Scrape, figures
from vllm_on_cpu.observing import PATIENCE_S, gauge, half_asked, until
from vllm_on_cpu.server import CONTEXT, MAX_REQUESTS, MAX_SEQS, MODEL, Subject

CHAT = "/v1/chat/completions"
SAID = "Paris is the capital of France [1], and Rome of Italy [2]."
ATTEMPTS = 8
METRICS = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:num_preemptions_total",
    "vllm:generation_tokens_total",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:request_queue_time_seconds_bucket",
    "vllm:e2e_request_latency_seconds_bucket",
}
TIMINGS = {
    "time_to_first_token_ms",
    "generation_time_ms",
    "queue_time_ms",
    "mean_itl_ms",
    "tokens_per_second",
}


def asking(text: str = "What is the capital?", **fields: object) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


def saying(text: str = SAID, **fields: object) -> dict[str, Any]:
    return asking(structured_outputs={"choice": [text]}, **fields)


def endless(**fields: object) -> dict[str, Any]:
    return asking(max_tokens=CONTEXT - 200, ignore_eos=True, **fields)


def events(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *frames, nothing = response.text.split("\n\n")
    assert nothing == ""
    assert all(frame.startswith("data: ") for frame in frames)
    return [frame.removeprefix("data: ") for frame in frames]


def chunks(response: httpx.Response) -> list[dict[str, Any]]:
    *told, done = events(response)
    assert done == "[DONE]"
    return [json.loads(event) for event in told]


def error(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["code"] == response.status_code
    return body["error"]


@contextmanager
def occupied(server: Subject, requests: int) -> Iterator[list[socket.socket]]:
    """So many streams are open that nobody reads; closing a connection gives its place up."""
    body = endless(stream=True)
    connections = [half_asked(server.url, CHAT, body) for _ in range(requests)]
    try:
        yield connections
    finally:
        for connection in connections:
            connection.close()
    until(lambda: in_flight(server) == 0)


def in_flight(server: Subject) -> float:
    """Requests that run or wait."""
    return gauge(server.http, "num_requests_running") + gauge(server.http, "num_requests_waiting")


def test_it_says_what_it_serves(server: Subject) -> None:
    assert server.http.get("/health").status_code == 200
    assert set(server.http.get("/version").json()) == {"version"}
    body = server.http.get("/v1/models").json()
    assert body["object"] == "list"
    assert [(model["id"], model["object"], model["max_model_len"]) for model in body["data"]] == [
        (MODEL, "model", CONTEXT)
    ]


def test_metrics_have_the_names_that_are_scraped(server: Subject) -> None:
    server.http.post(CHAT, json=saying())
    text = server.http.get("/metrics").text
    lines = [line for line in text.splitlines() if line.startswith("vllm:")]
    assert {line.split("{")[0] for line in lines} >= METRICS
    assert all(f'model_name="{MODEL}"' in line for line in lines if line.startswith("vllm:num_requests_running"))


def test_every_figure_of_the_status_is_among_them(server: Subject) -> None:
    def scrape(at: float) -> Scrape:
        return Scrape.of(server.http.get("/metrics").text, at)

    server.http.post(CHAT, json=saying()).raise_for_status()
    before = scrape(0.0)
    assert {*before.values, *before.buckets} == set(NAMES)
    server.http.post(CHAT, json=saying(stream=True)).raise_for_status()
    # The server counts a request when it has ended, which its client may know before.
    until(lambda: (figures(before, scrape(10.0)).itl or Quantiles(0, 0)).p95_s > 0)
    found = figures(before, scrape(10.0))
    assert None not in asdict(found).values()
    assert found.generation_tokens_per_s is not None
    assert found.generation_tokens_per_s > 0


def test_a_choice_is_what_it_says(server: Subject) -> None:
    reply = server.http.post(CHAT, json=saying()).json()
    assert reply["object"] == "chat.completion"
    assert reply["id"].startswith("chatcmpl-")
    (choice,) = reply["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"] == SAID
    assert choice["finish_reason"] == "stop"
    usage = reply["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert set(usage["prompt_tokens_details"]) >= {"cached_tokens", "created_cache_tokens"}
    assert set(reply["metrics"]) >= TIMINGS


def test_a_stream_begins_with_a_role_and_ends_with_usage(server: Subject) -> None:
    told = chunks(server.http.post(CHAT, json=saying(stream=True, stream_options={"include_usage": True})))
    assert {chunk["object"] for chunk in told} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in told}) == 1
    first, *middle, last, usage = told
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert len(middle) > 5  # tokens, not one piece
    assert {chunk["choices"][0]["finish_reason"] for chunk in [first, *middle]} == {None}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in [*middle, last]) == SAID
    assert last["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == usage["usage"]["prompt_tokens"] + usage["usage"]["completion_tokens"]
    assert set(usage["usage"]["prompt_tokens_details"]) == {"cached_tokens", "created_cache_tokens"}
    assert set(usage["metrics"]) == TIMINGS
    assert all(value >= 0 for value in usage["metrics"].values())


def test_usage_and_timings_come_only_when_asked_for(server: Subject) -> None:
    told = chunks(server.http.post(CHAT, json=saying(stream=True)))
    assert all(chunk["choices"] and "usage" not in chunk and "metrics" not in chunk for chunk in told)


def test_one_token_has_no_time_between_tokens(server: Subject) -> None:
    body = saying(max_tokens=1, stream=True, stream_options={"include_usage": True})
    assert set(chunks(server.http.post(CHAT, json=body))[-1]["metrics"]) == TIMINGS - {"mean_itl_ms"}
    assert server.http.post(CHAT, json=saying(max_tokens=1)).json()["metrics"]["mean_itl_ms"] is None


def test_a_limit_cuts_the_answer_and_says_so(server: Subject) -> None:
    told = chunks(server.http.post(CHAT, json=saying(stream=True, max_tokens=3)))
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in told)
    assert SAID.startswith(text)
    assert len(told) == 4
    assert told[-1]["choices"][0]["finish_reason"] == "length"


def test_a_plain_completion_has_text_and_no_role(server: Subject) -> None:
    without_limit = {"model": MODEL, "prompt": "The capital", "structured_outputs": {"choice": [SAID]}}
    body = without_limit | {"max_tokens": 100}
    reply = server.http.post("/v1/completions", json=body).json()
    assert (reply["object"], reply["choices"][0]["text"]) == ("text_completion", SAID)
    told = chunks(server.http.post("/v1/completions", json=body | {"stream": True}))
    assert "".join(chunk["choices"][0]["text"] for chunk in told) == SAID
    assert {chunk["object"] for chunk in told} == {"text_completion"}
    assert server.http.post("/v1/completions", json=without_limit).json()["usage"]["completion_tokens"] == 16


@pytest.mark.parametrize("path", [CHAT, "/tokenize"])
def test_an_unknown_model_is_404(server: Subject, path: str) -> None:
    response = server.http.post(path, json=asking() | {"model": "nope"})
    assert response.status_code == 404
    said = error(response)
    assert (said["type"], said["param"]) == ("NotFoundError", "model")
    assert "nope" in said["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": MODEL}, "body.messages"),
        (asking(priority="high"), "body.priority"),
        (asking(temperature=-1), "temperature"),
        (asking(max_tokens=0), "max_tokens"),
        (asking(max_tokens=CONTEXT + 1), "max_tokens"),
        (asking(max_completion_tokens=CONTEXT + 1), "max_completion_tokens"),
    ],
)
def test_a_body_that_makes_no_sense_is_400(server: Subject, body: dict[str, Any], param: str) -> None:
    response = server.http.post(CHAT, json=body)
    assert response.status_code == 400
    assert error(response)["param"] == param


def test_unknown_fields_are_passed_over(server: Subject) -> None:
    assert server.http.post(CHAT, json=saying(max_tokens=1, nonsense=True)).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_too_long_is_400_with_no_stream_begun(server: Subject, stream: bool) -> None:
    response = server.http.post(CHAT, json=asking("word " * CONTEXT, stream=stream))
    assert response.status_code == 400
    said = error(response)
    assert (said["type"], said["param"]) == ("BadRequestError", "input_tokens")
    assert f"maximum context length is {CONTEXT} tokens" in said["message"]


def test_tokenize_counts_what_the_prompt_will_be(server: Subject) -> None:
    counted = server.http.post("/tokenize", json=asking()).json()
    assert set(counted) == {"count", "max_model_len", "tokens", "token_strs"}
    assert counted["count"] == len(counted["tokens"])
    assert counted["max_model_len"] == CONTEXT
    assert counted["token_strs"] is None
    usage = server.http.post(CHAT, json=saying()).json()["usage"]
    assert counted["count"] == usage["prompt_tokens"]
    # Beyond the context it counts on.
    assert server.http.post("/tokenize", json=asking("word " * CONTEXT)).json()["count"] > CONTEXT
    with_strings = server.http.post("/tokenize", json={"prompt": "to be", "return_token_strs": True}).json()
    assert len(with_strings["token_strs"]) == with_strings["count"]


def test_an_answer_gets_what_the_prompt_leaves_and_no_error_says_so(server: Subject) -> None:
    def filled(words: int) -> str:
        return " ".join(["a"] * words)

    def tokens(words: int) -> int:
        return int(server.http.post("/tokenize", json=asking(filled(words))).json()["count"])

    words = next(words for words in range(CONTEXT - 50, CONTEXT) if tokens(words) >= CONTEXT - 20)
    prompt = tokens(words)
    reply = server.http.post(CHAT, json=asking(filled(words), max_tokens=500, ignore_eos=True)).json()
    assert reply["usage"]["completion_tokens"] == CONTEXT - prompt
    assert reply["choices"][0]["finish_reason"] == "length"
    exactly_full = words + CONTEXT - prompt
    assert tokens(exactly_full) == CONTEXT
    said = error(server.http.post(CHAT, json=asking(filled(exactly_full), max_tokens=500)))
    assert said["param"] == "max_tokens"  # and nothing about a context length


def test_prefixes_are_shared_within_a_salt_only(server: Subject) -> None:
    text = " ".join(f"word {number}" for number in range(100, 300)) + f" {time.monotonic_ns()}"

    def cached(salt: str) -> int:
        # The clock makes this prompt new, but only at its end: a salt of its own keeps others' prefixes out.
        body = asking(text, max_tokens=1, cache_salt=f"{salt}{text[-19:].strip()}")
        return int(server.http.post(CHAT, json=body).json()["usage"]["prompt_tokens_details"]["cached_tokens"])

    assert [cached("a"), cached("a") > 0, cached("b")] == [0, True, 0]


@pytest.mark.parametrize("salt", ["", "a/b", "a@b", "a\\b", "s" * 129])
def test_a_salt_has_a_form(server: Subject, salt: str) -> None:
    response = server.http.post(CHAT, json=saying(cache_salt=salt))
    assert response.status_code == 400
    assert "cache_salt" in error(response)["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_hanging_up_frees_the_sequence(server: Subject, stream: bool) -> None:
    def made() -> float:
        before = gauge(server.http, "generation_tokens_total")
        connection = half_asked(server.url, CHAT, endless(stream=stream))
        until(
            lambda: (
                gauge(server.http, "num_requests_running") == 1
                or gauge(server.http, "generation_tokens_total") > before
            )
        )
        connection.close()
        until(lambda: gauge(server.http, "num_requests_running") == 0)
        return gauge(server.http, "generation_tokens_total") - before

    # On a busy machine the engine may be done before the server in front of it says that it runs.
    assert any(made() < CONTEXT - 200 for _ in range(ATTEMPTS))


def test_a_full_server_says_busy_and_nothing_of_when(server: Subject) -> None:
    """The limit is of running and waiting requests together."""
    with occupied(server, 0) as streams:

        def is_full() -> bool:
            """Streams that have ended are replaced."""
            missing = MAX_REQUESTS - int(in_flight(server))
            streams.extend(half_asked(server.url, CHAT, endless(stream=True)) for _ in range(missing))
            return missing <= 0

        def is_refused() -> bool:
            until(is_full)
            response = server.http.post(CHAT, json=saying(stream=True))
            if response.status_code == 200:  # a stream had ended
                return False
            assert response.status_code == 503
            assert "retry-after" not in response.headers
            said = error(response)
            assert (said["type"], said["param"]) == ("Service Unavailable", None)
            return True

        until(is_refused)
        assert server.http.get("/health").status_code == 200
        assert server.http.post("/tokenize", json=asking()).status_code == 200


def test_lower_priorities_go_first(server: Subject) -> None:
    order: list[str] = []

    def ask(name: str, priority: int, max_tokens: int) -> None:
        body = asking(max_tokens=max_tokens, ignore_eos=True, priority=priority)
        server.http.post(CHAT, json=body).raise_for_status()
        order.append(name)

    with ThreadPoolExecutor(2) as pool, occupied(server, MAX_SEQS) as streams:
        until(lambda: gauge(server.http, "num_requests_running") == MAX_SEQS)
        late = pool.submit(ask, "bulk", 5, CONTEXT // 4)  # so long that it is the last even where both get a place
        until(lambda: gauge(server.http, "num_requests_waiting") == 1)
        early = pool.submit(ask, "canary", -2, 5)
        until(lambda: gauge(server.http, "num_requests_waiting") == 2)
        streams.pop().close()
        early.result(PATIENCE_S)
        assert order[0] == "canary"
    late.result(PATIENCE_S)
