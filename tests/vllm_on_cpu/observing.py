"""What a model server is doing, and clients that do not wait for it."""

import json
import re
import socket
import time
from collections.abc import Callable, Mapping

import httpx

PATIENCE_S = 500.0
_POLL_S = 0.01


def until(reached: Callable[[], bool]) -> None:
    """Return as soon as it is so; fail if it never is."""
    give_up = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < give_up, f"not within {PATIENCE_S:g} s"
        time.sleep(_POLL_S)


def gauge(http: httpx.Client, name: str) -> float:
    """A metric of a vLLM server that has one series; ``name`` is what follows ``vllm:``."""
    found = re.search(rf"^vllm:{name}\{{.*\}} (\S+)$", http.get("/metrics").text, re.MULTILINE)
    assert found, f"no metric {name}"
    return float(found[1])


def half_asked(url: str, path: str, body: Mapping[str, object]) -> socket.socket:
    """The connection of a request whose reply nobody has read; closing it is hanging up."""
    content, target = json.dumps(body).encode(), httpx.URL(url)
    on_socket = target.scheme == "unix"
    connection = socket.socket(socket.AF_UNIX if on_socket else socket.AF_INET)
    connection.settimeout(PATIENCE_S)
    connection.connect(target.path if on_socket else (target.host, target.port))
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return connection
