"""Bytes on a connection to a server."""

import json
import socket
from contextlib import closing, suppress
from http.client import HTTPResponse
from typing import Any

import httpx

PATIENCE_S = 200.0
HEAD_S = 0.6
STALL_S = 0.8
CLIENT_HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(range(154))
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SEARCH = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def place(address: str) -> tuple[str, int]:
    url = httpx.URL(address)
    return url.host, url.port or 0


def reply_on(connection: socket.socket, method: str = "GET") -> httpx.Response:
    with closing(HTTPResponse(connection, method=method)) as response:
        response.begin()
        return httpx.Response(response.status, headers=response.getheaders(), content=response.read())


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the server closes; a reset ends it too."""
    received = b""
    try:
        while data := connection.recv(65_536):
            received += data
    except ConnectionResetError:
        pass
    return received


def send_all(connection: socket.socket, data: bytes) -> None:
    """As far as the server takes it."""
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(data)


def is_answered(address: str) -> bool:
    with httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False) as client:
        return client.get("/healthz").json() == {"status": "ok"}


def closed_for(address: str, reason: str) -> float:
    """How many connections were."""
    text = httpx.get(f"{address}/metrics", trust_env=False, timeout=PATIENCE_S).text
    lines = [
        line for line in text.splitlines() if line.startswith(f'quarry_connections_closed_total{{reason="{reason}"}}')
    ]
    return float(lines[0].split()[-1]) if lines else 0.0


def problem_in(reply: bytes, status: int) -> dict[str, Any]:
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), reply[:500]
    assert b"content-type: application/problem+json" in head
    assert b"x-content-type-options: nosniff" in head
    assert b"connection: close" in head
    problem: dict[str, Any] = json.loads(body)
    assert problem["status"] == status
    return problem
