"""Many connections that are opened and dropped, at a real process: what they leave behind."""

import json
import os
import random
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

PATIENCE_S = 200.0
IN_ALL, AT_ONCE = 10_000, 500
HEAD = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SAID = (b"", GET[:8], GET, HEAD, HEAD + b'{"query":', bytes(64), b"\x16\x03")
# Of the interpreter and of libraries, opened when they are first needed.
SPARE = 16


def descriptors(process: subprocess.Popen[bytes]) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def said_of_errors(process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """Lines of its log above warnings."""
    lines = Path(os.readlink(f"/proc/{process.pid}/fd/2")).read_text().splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    return [record for record in records if record["levelname"] in {"ERROR", "CRITICAL"}]


@pytest.fixture
def server(shared_server: tuple[subprocess.Popen[bytes], httpx.Client]) -> Iterator[subprocess.Popen[bytes]]:
    """Which has as many descriptors after the test as before, and met nothing unforeseen."""
    process, http = shared_server
    http.get("/healthz")
    before, errors = descriptors(process), said_of_errors(process)
    yield process
    give_up = time.monotonic() + PATIENCE_S
    while descriptors(process) > before + SPARE:
        assert time.monotonic() < give_up, f"{descriptors(process)} descriptors, {before} before"
        time.sleep(0.05)
    assert said_of_errors(process) == errors


def test_connections_that_are_opened_and_dropped(server: subprocess.Popen[bytes], http: httpx.Client) -> None:
    seed = random.randrange(2**32)  # noqa: S311  no secret
    print(f"seed {seed}")  # noqa: T201  to be tried again
    draw, place = random.Random(seed), (http.base_url.host, http.base_url.port or 0)  # noqa: S311  as above
    for _ in range(IN_ALL // AT_ONCE):
        with ExitStack() as stack:
            for _ in range(AT_ONCE):
                connection = stack.enter_context(socket.create_connection(place, timeout=PATIENCE_S))
                connection.sendall(draw.choice(SAID))
                if draw.random() < 0.5:  # closing resets it
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with httpx.Client(base_url=http.base_url, trust_env=False, timeout=PATIENCE_S) as other:
                assert other.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").status_code == 200
