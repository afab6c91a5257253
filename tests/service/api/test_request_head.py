"""Heads of requests that are none, have no end, or do not come."""

import random
import socket
from collections.abc import Callable

import httpx
import pytest

from wire import (
    CLIENT_HELLO,
    GET,
    HEAD_S,
    PATIENCE_S,
    SEARCH,
    closed_for,
    is_answered,
    problem_in,
    reply_on,
    rest_of,
    send_all,
)

pytestmark = pytest.mark.usefixtures("nothing_unforeseen")

GARBAGE = {
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "tls client hello": CLIENT_HELLO,
    "nuls": bytes(5000),
    "nul in a field": b"GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n",
    "no version": b"GET /healthz\r\n\r\n",
    "no such version": b"GET / HTTP/9.7\r\nHost: localhost\r\n\r\n",
    "no such method": b"STEAL / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes beyond ascii in the path": b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a field without a colon": b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    "a folded field": b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "two lengths": SEARCH + b"Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
    "a negative length": SEARCH + b"Content-Length: -2\r\n\r\n{}",
    "a length in hexadecimal": SEARCH + b"Content-Length: 0x2\r\n\r\n{}",
    "a length beyond all": SEARCH + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    "length and chunks": SEARCH + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of no size": SEARCH + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk longer than it says": SEARCH + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}{}\r\n0\r\n\r\n",
    "a chunk beyond all": SEARCH + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 40 + b"\r\n",
    "chunks that are not the last coding": SEARCH + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "connect": b"CONNECT other:80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
}  # fmt: skip


def test_what_is_no_http_is_refused(address: str, connect: Callable[[], socket.socket]) -> None:
    for name, garbage in GARBAGE.items():
        connection = connect()
        send_all(connection, garbage)
        assert b" 400 " in rest_of(connection).partition(b"\r\n")[0], name
        assert is_answered(address)


def test_the_refusal_is_a_problem(address: str, connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    send_all(connection, CLIENT_HELLO)
    assert problem_in(rest_of(connection), 400)["error"]["code"] == "invalid_request"
    assert closed_for(address, "malformed") == 1


def test_random_bytes(address: str, connect: Callable[[], socket.socket]) -> None:
    seed = random.randrange(2**32)  # noqa: S311  no secret
    print(f"seed {seed}")  # noqa: T201  to be tried again
    draw = random.Random(seed)  # noqa: S311  no secret
    for _ in range(200):
        connection, sent = connect(), bytearray(draw.choice([b"", GET, SEARCH]))
        for _ in range(draw.randrange(4)):
            at = draw.randrange(len(sent) + 1)
            sent[at : at + draw.randrange(3)] = draw.randbytes(draw.randrange(200))
        send_all(connection, bytes(sent))
        connection.close()
    assert is_answered(address)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X-%d: a\r\n" % i for i in range(1000)) + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"a" * 66_000 + b"\r\n\r\n",
        b"\r\n" * 100_000,
    ],
    ids=["an address", "a field that has no end", "fields", "a field", "line breaks"],
)
def test_an_absurd_head(address: str, connect: Callable[[], socket.socket], head: bytes) -> None:
    connection = connect()
    send_all(connection, head)
    problem = problem_in(rest_of(connection), 431)
    assert problem["detail"].endswith("the limit of 65536 bytes and 256 fields")
    assert is_answered(address)


def test_a_large_head_that_is_within_the_limit(address: str) -> None:
    with httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False) as client:
        for _ in range(3):
            assert client.get("/healthz", headers={"x-large": "a" * 60_000}).status_code == 200


@pytest.mark.parametrize("said", [b"", b"GET /heal", b"GET / HTTP/1.1\r\nHost: loc", b"\r\n", GET + b"GET"])
def test_a_head_that_does_not_come(address: str, connect: Callable[[], socket.socket], said: bytes) -> None:
    connection = connect()
    connection.sendall(said)
    received = rest_of(connection)
    assert received.count(b"HTTP/1.1 200") == said.count(GET)
    # What has begun while an answer was under way ends with the wait for the next request.
    assert closed_for(address, "head_timeout") == (not said.startswith(GET))


def test_a_head_that_drips(address: str, connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    dripped = 0
    try:
        for byte in b"GET / HTTP/1.1\r\nX: " + b"a" * 10_000:
            connection.sendall(bytes([byte]))
            dripped += 1
            connection.settimeout(HEAD_S / 10)
            try:
                if connection.recv(1) == b"":
                    break
            except TimeoutError:
                pass
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert dripped < 5_000
    assert closed_for(address, "head_timeout") == 1


def test_waiting_for_the_next_request_is_not_cut_by_the_head(
    address: str, connect: Callable[[], socket.socket]
) -> None:
    connection = connect()
    connection.sendall(GET)
    assert reply_on(connection).status_code == 200
    until_still_open(connection, 2 * HEAD_S)
    connection.sendall(GET)
    assert reply_on(connection).status_code == 200


def until_still_open(connection: socket.socket, seconds: float) -> None:
    connection.settimeout(seconds)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(PATIENCE_S)
