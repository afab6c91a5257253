"""Two real servers and a real Redis: limits that they share, keys of one in the other, Redis lost under load."""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from redis_process import PATIENCE_S, RedisProcess

pytestmark = pytest.mark.cluster

ADMIN = "a key of an operator with more than 32 characters"
THREADS = 8
LEASE_MS = 2000
Serve = Callable[..., tuple[Any, httpx.Client]]


@dataclass(frozen=True, slots=True)
class Pair:
    """A server that has the keys, and one that takes them from it."""

    writer: httpx.Client
    reader: httpx.Client
    redis: RedisProcess

    @property
    def both(self) -> tuple[httpx.Client, httpx.Client]:
        return self.writer, self.reader

    def made(self, **limits: int) -> dict[str, str]:
        """A key that both know, as the headers that show it; its id is the second part of it."""
        body = {"name": "one", "scopes": ["admin"], "limits": limits}
        reply = self.writer.post("/v1/admin/keys", json=body, headers=bearer(ADMIN))
        assert reply.status_code == 201, reply.text
        shown = bearer(reply.json()["key"])
        until(lambda: self.holding(self.reader) == self.holding(self.writer))
        return shown

    @staticmethod
    def holding(server: httpx.Client) -> int:
        return int(status(server)["keys"]["holding"])


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def status(server: httpx.Client) -> dict[str, Any]:
    told: dict[str, Any] = server.get("/v1/status", headers=bearer(ADMIN)).json()["redis"]
    return told


def calls(server: httpx.Client, outcome: str) -> float:
    sample = f'quarry_redis_calls_total{{outcome="{outcome}",purpose="limits"}}'
    lines = server.get("/metrics", headers=bearer(ADMIN)).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(sample))


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "it never came about"
        time.sleep(0.02)


def asked(server: httpx.Client, shown: dict[str, str], times: int) -> Counter[int]:
    """Statuses of so many requests, some at a time."""
    with ThreadPoolExecutor(THREADS) as threads:
        replies = [threads.submit(server.get, "/v1/collections", headers=shown) for _ in range(times)]
        return Counter(reply.result().status_code for reply in replies)


@pytest.fixture(scope="module")
def pair(
    redis_of_module: RedisProcess, serve_module: Serve, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    variables = {"QUARRY_ACCESS__ADMIN_KEY": ADMIN, **redis_of_module.variables(timeout_ms=5000, lease_ms=LEASE_MS)}
    _, writer = serve_module(tmp_path_factory.mktemp("writer"), QUARRY_ACCESS__KEYS="published", **variables)
    _, reader = serve_module(tmp_path_factory.mktemp("reader"), QUARRY_ACCESS__KEYS="replicated", **variables)
    yield Pair(writer, reader, redis_of_module)


def test_two_servers_let_in_together_as_many_as_the_limit_says(pair: Pair) -> None:
    shown = pair.made(requests_per_minute=30)
    with ThreadPoolExecutor(2) as threads:
        counts = list(threads.map(lambda server: asked(server, shown, 40), pair.both))
    assert counts[0] + counts[1] == Counter({200: 30, 429: 50})
    assert counts[0][200], "both let some in"
    assert counts[1][200]


def test_a_key_that_is_revoked_at_one_server_is_refused_by_the_other(pair: Pair) -> None:
    shown = pair.made()
    assert pair.reader.get("/v1/collections", headers=shown).status_code == 200
    key_id = shown["Authorization"].split(".")[1]
    refused = pair.reader.delete(f"/v1/admin/keys/{key_id}", headers=bearer(ADMIN))
    assert refused.status_code == 409
    assert "make and revoke them there" in refused.json()["detail"]
    assert pair.writer.delete(f"/v1/admin/keys/{key_id}", headers=bearer(ADMIN)).status_code == 200
    until(lambda: pair.reader.get("/v1/collections", headers=shown).status_code == 401)


@pytest.mark.parametrize("loss", ["frozen", "killed"])
def test_redis_lost_under_load_fails_nobody_and_opens_nothing(pair: Pair, loss: str) -> None:
    limited, free, gone = pair.made(requests_per_minute=20), pair.made(concurrency=100), pair.made()
    before = [calls(server, "failed") for server in pair.both]
    with ThreadPoolExecutor(2) as threads:
        load = [threads.submit(asked, server, free, 300) for server in pair.both]
        pair.redis.freeze() if loss == "frozen" else pair.redis.kill()
        counts = [asked(server, limited, 40) for server in pair.both]
        assert [each.result() for each in load] == [Counter({200: 300})] * 2, "nobody is failed"
    for server, count, failed in zip(pair.both, counts, before, strict=True):
        assert set(count) == {200, 429}
        assert 0 < count[200] <= 20, "the limit, each for itself"
        assert calls(server, "failed") - failed <= 8 * THREADS, "those under way then, of 340"
        assert calls(server, "skipped") > 0
        ready = server.get("/readyz")
        assert ready.status_code == 200
        assert ready.json()["degraded"][0] == "redis"
    key_id = gone["Authorization"].split(".")[1]
    assert pair.writer.delete(f"/v1/admin/keys/{key_id}", headers=bearer(ADMIN)).status_code == 200
    pair.redis.thaw() if loss == "frozen" else pair.redis.start()
    for server in pair.both:
        until(lambda server=server: status(server)["state"] == "connected")  # type: ignore[misc]
    until(lambda: pair.reader.get("/v1/collections", headers=gone).status_code == 401)
    assert [asked(server, free, 5) for server in pair.both] == [Counter({200: 5})] * 2


def test_a_killed_server_gives_the_slots_of_its_requests_back(pair: Pair, serve: Serve, tmp_path: Path) -> None:
    shown = pair.made(concurrency=2)
    variables = {"QUARRY_ACCESS__ADMIN_KEY": ADMIN, **pair.redis.variables(timeout_ms=5000, lease_ms=LEASE_MS)}
    process, third = serve(tmp_path, QUARRY_ACCESS__KEYS="replicated", **variables)
    until(lambda: pair.holding(third) == pair.holding(pair.writer) and status(third)["state"] == "connected")
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(unfinished(third, shown))
        # To ask a server would take a slot, which one of the two might be refused for.
        leases = f"quarry:limits:leases:{shown['Authorization'].split('.')[1]}"
        until(lambda: pair.redis.client().zcard(leases) == 2)
        assert pair.writer.get("/v1/collections", headers=shown).status_code == 429
        assert pair.reader.get("/v1/collections", headers=shown).status_code == 429
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: pair.writer.get("/v1/collections", headers=shown).status_code == 200)


def unfinished(server: httpx.Client, shown: dict[str, str]) -> socket.socket:
    """A request whose body does not come, which has its slot meanwhile."""
    url = server.base_url
    connection = socket.create_connection((url.host, url.port or 0), timeout=PATIENCE_S)
    head = f"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nAuthorization: {shown['Authorization']}\r\n"
    connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n".encode())
    return connection
