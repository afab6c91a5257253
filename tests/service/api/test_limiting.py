"""Limits of keys over HTTP: what is refused, what is said of it, and that no slot is ever lost."""

import asyncio
import math
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from service.access.caller import Caller
from service.access.key import Key, KeyLimits
from service.access.keys import Keys, NewKey
from service.access.limits import Limits
from service.access.local_counts import LocalCounts
from service.access.rights import ALL
from service.api.drain import Drain, DrainGate
from service.api.limiting import Limiting
from service.telemetry.metrics import Metrics
from service.telemetry.timings import Timings

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

ADMIN = "a-key-of-an-operator-with-40-characters!"
PATIENCE_S = 200.0
TEXT = "The honey bees sleep in winter."


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def made(api: httpx.Client, **limits: int) -> dict[str, Any]:
    """A key with everything but these limits."""
    body = {"name": "limited", "scopes": ["admin"], "limits": limits}
    reply = api.post("/v1/admin/keys", json=body, headers=bearer(ADMIN))
    assert reply.status_code == 201, reply.text
    told: dict[str, Any] = reply.json()
    return told


def value(api: httpx.Client, sample: str) -> float:
    lines = api.get("/metrics", headers=bearer(ADMIN)).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(sample))


def waited(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it never came about"
        time.sleep(0.01)


def test_requests_beyond_the_limit_are_refused_with_the_time_to_wait(open_api: OpenApi, problem: Problem) -> None:
    with open_api(access={"admin_key": ADMIN}) as api:
        key = made(api, requests_per_minute=2)
        headers = bearer(key["key"])
        first, second = (api.get("/v1/collections", headers=headers) for _ in range(2))
        assert [reply.headers["x-ratelimit-remaining-requests"] for reply in (first, second)] == ["1", "0"]
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert "x-ratelimit-limit-tokens" not in first.headers
        refused = api.put("/v1/collections/docs/documents/a", json={"text": TEXT}, headers=headers)
        body = problem(refused, 429, "rate_limited")
        assert key["id"] in body["detail"]
        assert "2 requests a minute" in body["detail"]
        after_ms, reset_s = int(refused.headers["retry-after-ms"]), refused.headers["x-ratelimit-reset-requests"]
        assert reset_s.endswith("s")
        assert 0 < float(reset_s[:-1]) <= after_ms / 1000 <= 60
        assert int(refused.headers["retry-after"]) == math.ceil(after_ms / 1000)
        assert api.get("/healthz", headers=headers).is_success, "whether the process lives is for everybody"
        assert value(api, f'quarry_rate_limited_total{{key="{key["id"]}",limit="requests"}}') == 1
        assert value(api, f'quarry_key_requests_total{{key="{key["id"]}"}}') == 3
        assert value(api, 'quarry_problems_total{code="rate_limited"}') == 1
        assert api.get("/v1/collections/docs", headers=bearer(ADMIN)).status_code == 404, "nothing was read of it"


def test_tokens_of_every_kind_count_for_the_key(open_api: OpenApi, problem: Problem, overlap: object) -> None:
    with open_api(access={"admin_key": ADMIN}, rerank={"model": "overlap"}) as api:
        key = made(api, tokens_per_minute=1_000_000)
        sample, api.headers = f'quarry_key_tokens_total{{key="{key["id"]}"}}', httpx.Headers(bearer(key["key"]))
        counted = [0.0]

        def asked(method: str, path: str, **body: object) -> int:
            """Tokens that it was counted with."""
            reply = api.request(method, path, **body)  # type: ignore[arg-type]
            assert reply.is_success, reply.text
            counted.append(value(api, sample))
            return int(counted[-1] - counted[-2])

        assert asked("PUT", "/v1/collections/docs/documents/a", json={"text": TEXT}) > 0
        line = b'{"id": "b", "text": "In spring they wake up."}\n'
        ndjson = {"Content-Type": "application/x-ndjson"}
        assert asked("POST", "/v1/collections/docs/documents:batch?wait_ms=60000", content=line, headers=ndjson) > 0
        embedding = {"input": "honey bees", "model": "hashing"}
        reply = api.post("/v1/embeddings", json=embedding).json()
        counted.append(value(api, sample))
        assert counted[-1] - counted[-2] == reply["usage"]["total_tokens"]
        question = {"query": "honey", "collection": "docs", "rerank": {"enabled": False}}
        assert asked("POST", "/v1/search", json=question) == 1
        assert asked("POST", "/v1/search", json=question) == 0, "it is remembered: no model reads it"
        assert asked("POST", "/v1/rerank", json={"query": "bees", "documents": ["honey bees"]}) > 0
        standing = api.get("/v1/collections").headers
        assert 1_000_000 - int(standing["x-ratelimit-remaining-tokens"]) == counted[-1]


def test_a_file_that_is_read_later_counts_for_who_sent_it(open_api: OpenApi) -> None:
    with open_api(access={"admin_key": ADMIN}) as api:
        key = made(api, tokens_per_minute=1_000_000)
        sent = api.put(
            "/v1/collections/docs/documents/a?wait_ms=0",
            files={"file": ("a.txt", TEXT.encode())},
            headers=bearer(key["key"]),
        )
        assert sent.status_code in {200, 201, 202}, sent.text
        waited(lambda: value(api, f'quarry_key_tokens_total{{key="{key["id"]}"}}') > 0)


def test_a_key_that_has_used_up_its_tokens_is_refused_until_the_window_ends(
    open_api: OpenApi, problem: Problem
) -> None:
    with open_api(access={"admin_key": ADMIN}) as api:
        key = made(api, tokens_per_minute=3)
        headers = bearer(key["key"])
        asked = {"input": ["one two", "three four five"], "model": "hashing"}
        assert api.post("/v1/embeddings", json=asked, headers=headers).is_success, "paid for afterwards"
        refused = api.post("/v1/embeddings", json=asked, headers=headers)
        assert "3 tokens a minute" in problem(refused, 429, "rate_limited")["detail"]
        assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
        other = made(api, tokens_per_minute=3)
        assert api.post("/v1/embeddings", json=asked, headers=bearer(other["key"])).is_success


def test_the_language_model_counts_too(open_api: OpenApi, language_model: Callable[..., str]) -> None:
    usage = b'"usage":{"prompt_tokens":900,"completion_tokens":77,"total_tokens":977}'
    written = b'data: {"choices":[{"delta":{"content":"Yes [1]."},"finish_reason":"stop"}]}\n\n'
    model = language_model([written, b'data: {"choices":[],' + usage + b"}\n\n", b"data: [DONE]\n\n"])
    with open_api(access={"admin_key": ADMIN}, llm={"main": {"url": model, "model": "m"}}) as api:
        api.put("/v1/collections/docs/documents/a", json={"text": TEXT}, headers=bearer(ADMIN)).raise_for_status()
        for stream in (False, True):
            key = made(api)
            asked = {"query": f"honey bees in winter {stream}", "collection": "docs", "stream": stream}
            reply = api.post("/v1/query", json=asked, headers=bearer(key["key"]))
            assert "Yes" in reply.text, reply.text
            counted = value(api, f'quarry_key_tokens_total{{key="{key["id"]}"}}')
            assert 977 < counted < 977 + 10, "and the question's own"


def test_defaults_hold_for_keys_without_limits_and_a_server_without_keys_has_none(open_api: OpenApi) -> None:
    limits = {"requests_per_minute": 1, "tokens_per_minute": 1, "concurrency": 1}
    with open_api(access=limits) as api:
        assert {api.get("/v1/collections").status_code for _ in range(5)} == {200}
    with open_api(access={"admin_key": ADMIN, **limits}) as api:
        key = made(api)
        codes = [api.get("/v1/collections", headers=bearer(key["key"])).status_code for _ in range(3)]
        assert codes == [200, 429, 429]
        assert {api.get("/v1/collections", headers=bearer(ADMIN)).status_code for _ in range(5)} == {200}


def test_a_stream_holds_its_slot_until_the_client_is_gone(
    listening: Callable[..., str], language_model: Callable[..., str]
) -> None:
    written = b'data: {"choices":[{"delta":{"content":"Half an answer, "}}]}\n\n'
    model = language_model([written], end="stall")
    address = listening(access={"admin_key": ADMIN}, llm={"main": {"url": model, "model": "m"}})
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as api:
        api.put("/v1/collections/docs/documents/a", json={"text": TEXT}, headers=bearer(ADMIN)).raise_for_status()
        headers = bearer(made(api, concurrency=1)["key"])
        asked = {"query": "honey bees in winter", "collection": "docs", "stream": True}
        for _ in range(5):
            with api.stream("POST", "/v1/query", json=asked, headers=headers) as reply:
                assert reply.status_code == 200
                pieces = reply.iter_bytes()  # once it is dropped, httpx closes the connection
                assert next(pieces)
                refused = api.get("/v1/collections", headers=headers)
                assert refused.status_code == 429
                assert "1 requests at a time" in refused.json()["detail"]
            waited(lambda: api.get("/v1/collections", headers=headers).status_code == 200)


@pytest.mark.parametrize(
    "sent",
    [
        b"PUT /v1/collections/docs/documents/a HTTP/1.1\r\nContent-Length: 1000\r\n{auth}\r\n\r\n{\"text",
        b"POST /v1/query HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{auth}\r\n\r\n5\r\n{",
        b"POST /v1/search HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n{auth}\r\n\r\n{}",
    ],
)  # fmt: skip
def test_who_hangs_up_anywhere_leaves_no_slot_taken(sent: bytes, listening: Callable[..., str]) -> None:
    address = listening(access={"admin_key": ADMIN})
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as api:
        headers = bearer(made(api, concurrency=2)["key"])
        url, auth = httpx.URL(address), f"Host: localhost\r\nAuthorization: {headers['Authorization']}".encode()
        for _ in range(20):
            with socket.create_connection((url.host, url.port or 0), timeout=PATIENCE_S) as connection:
                connection.sendall(sent.replace(b"{auth}", auth))
        waited(lambda: api.get("/v1/collections", headers=headers).status_code == 200)
        with api.stream("GET", "/v1/collections", headers=headers):
            assert api.get("/v1/collections", headers=headers).status_code == 200, "both slots are there"


class Behind:
    """An application behind the limits of one key, in every way in which a request can end."""

    def __init__(self, keys: Keys, end: str) -> None:
        self.key, _ = keys.create(NewKey("one", ALL, KeyLimits(concurrency=1)))
        self.limits, self.metrics, self.drain = (
            Limits(keys, KeyLimits(), Metrics().access, LocalCounts()),
            Metrics(),
            Drain(),
        )
        self.begun, self._end = asyncio.Event(), end
        self.running: list[int] = []  # requests, as each message of the reply goes out
        self.entrance = DrainGate(
            self._showing(self.key, Limiting(self._answer, self.metrics)), self.drain, self.metrics
        )

    @staticmethod
    def _showing(key: Key, app: Limiting) -> Callable[[Scope, Receive, Send], Any]:
        async def asked(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"]["caller"] = Caller.of(key)
            await app(scope, receive, send)

        return asked

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        self.begun.set()
        match self._end:
            case "error":
                raise ValueError("in the middle")
            case "whole":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            case _:
                await asyncio.Event().wait()

    async def asked(self) -> None:
        state = {"request_id": "r", "timings": Timings()}
        app: Any = type("App", (), {"state": type("State", (), {"services": self})})
        scope = {"type": "http", "method": "GET", "path": "/v1/x", "headers": [], "state": state, "app": app}

        async def send(message: Message) -> None:
            self.running.append(self.limits.running(self.key))
            if self._end == "gone":
                raise OSError("nobody is there")
            await asyncio.sleep(0)  # what the client has not taken yet
            self.running.append(self.limits.running(self.key))

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        await self.entrance(scope | {"query_string": b""}, receive, send)


@pytest.mark.parametrize("end", ["whole", "error", "gone", "cancelled", "drained"])
def test_a_slot_is_free_however_a_request_ends(end: str, tmp_path: Any) -> None:  # noqa: ANN401
    async def scenario() -> None:
        behind = Behind(Keys(tmp_path), end)
        task = asyncio.create_task(behind.asked())
        if end in {"cancelled", "drained"}:
            await behind.begun.wait()
            assert behind.limits.running(behind.key) == 1
            if end == "cancelled":
                task.cancel()
            else:
                assert await behind.drain.run(0.0) == 1
        await asyncio.wait({task}, timeout=PATIENCE_S)
        assert task.done()
        task.cancelled() or task.exception()
        assert behind.limits.running(behind.key) == 0
        assert set(behind.running) == {1}, "the slot is held until the client has taken the last message"

    asyncio.run(scenario())
