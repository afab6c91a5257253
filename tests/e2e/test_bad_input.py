"""What only a real socket can show of bad input; the table of the rest is in tests/service/api/test_problems.py."""

import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any

import httpx
import pytest

MAX_BODY_BYTES = 2_000_000  # as the shared server is told in conftest.py
PATH = "/v1/collections/refused/documents/large"


def checked(response: httpx.Response, status: int, said: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert said in body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    return body


def test_an_announced_body_over_the_limit_is_refused_unread(http: httpx.Client) -> None:
    head = (
        f"PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {10**12}\r\n\r\n"
    )
    with socket.create_connection((http.base_url.host, http.base_url.port or 0), timeout=200) as connection:
        connection.sendall(head.encode())
        reply = reply_on(connection)
    assert f"larger than the limit of {MAX_BODY_BYTES} bytes" in checked(reply, 413, "the body is")["detail"]
    assert http.get("/v1/collections/refused").status_code == 404


def reply_on(connection: socket.socket) -> httpx.Response:
    response = HTTPResponse(connection)
    response.begin()
    return httpx.Response(response.status, headers=response.getheaders(), content=response.read())


def test_a_chunked_body_is_cut_off_at_the_limit(http: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"text": "'
        for _ in range(40):
            yield b"x" * 65_536

    response = http.put(PATH, content=pieces(), headers={"content-type": "application/json"})
    checked(response, 413, f"the limit of {MAX_BODY_BYTES} bytes")
    assert http.get("/v1/collections/refused").status_code == 404


def test_a_body_at_the_limit_is_read(http: httpx.Client) -> None:
    body = b'{"text": "%s"}' % (b" " * (MAX_BODY_BYTES - 12))
    assert len(body) == MAX_BODY_BYTES
    checked(http.put(PATH, content=body, headers={"content-type": "application/json"}), 400, "has no text")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("%FF", "'%FF' is not UTF-8"),
        ("a%00b", "control character"),
        ("%2E", "path segment"),
        ("%2E%2E", "path segment"),
    ],
)
def test_ids_that_are_refused(http: httpx.Client, path: str, said: str) -> None:
    checked(http.put(f"/v1/collections/refused/documents/{path}", json={"text": "a"}), 400, said)
    assert http.get("/v1/collections/refused").status_code == 404


def test_nan_on_the_wire(http: httpx.Client) -> None:
    content = b'{"query": "x", "score_threshold": NaN}'
    response = http.post("/v1/search", content=content, headers={"content-type": "application/json"})
    checked(response, 422, "score_threshold: Input should be a finite number; got nan")


def test_an_error_leaves_the_connection_usable(http: httpx.Client) -> None:
    checked(http.post("/v1/search", json={"query": "x", "collection": "atlantis"}), 404, "'atlantis'")
    checked(http.request("PATCH", "/v1/search"), 405, "PATCH is not allowed")
    assert http.get("/healthz").json() == {"status": "ok"}
