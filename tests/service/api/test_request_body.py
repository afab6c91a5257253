"""Bodies that do not come, or that nobody reads."""

import socket
from collections.abc import Callable

import pytest

from wire import GET, SEARCH, STALL_S, is_answered, reply_on, rest_of

pytestmark = pytest.mark.usefixtures("nothing_unforeseen")


def test_fields_after_a_chunked_body_belong_to_nobody(address: str, connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    connection.sendall(SEARCH + b"Transfer-Encoding: chunked\r\n\r\n")
    connection.sendall(b"2\r\n{}\r\n0\r\nX-Request-ID: smuggled\r\n\r\n")
    reply = reply_on(connection, "POST")
    assert reply.status_code == 422
    assert reply.headers["x-request-id"] != "smuggled"
    connection.sendall(SEARCH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"X: a\r\n" * 1000 + b"\r\n")
    assert b" 431 " in rest_of(connection).partition(b"\r\n")[0]
    assert is_answered(address)


@pytest.mark.parametrize("begun", [b"", b'{"query":'])
@pytest.mark.parametrize("framing", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_that_does_not_come(
    address: str, connect: Callable[[], socket.socket], begun: bytes, framing: bytes
) -> None:
    connection = connect()
    connection.sendall(SEARCH + framing)
    if begun:
        connection.sendall(begun if framing.startswith(b"Content") else b"%x\r\n%s\r\n" % (len(begun), begun))
    reply = reply_on(connection, "POST")
    assert reply.status_code == 408
    body = reply.json()
    assert body["error"]["code"] == "request_timeout"
    assert f"{len(begun)} bytes of the body have come; the limit is {STALL_S:g} s" in body["detail"]
    assert reply.headers["retry-after"] == "1"
    assert is_answered(address)


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
@pytest.mark.parametrize("size", [1 << 10, 1 << 20, 32 << 20, (32 << 20) + 1])
@pytest.mark.parametrize("path", [b"/v1/nowhere", b"/v1/collections/docs/documents/a"])
def test_a_reply_before_the_end_of_the_body_arrives(
    address: str, connect: Callable[[], socket.socket], expects: bytes, size: int, path: bytes
) -> None:
    """The client sends its body to the end before it reads, as most do."""
    connection, limit = connect(), 32 << 20
    head = b"PUT %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%s" % (path, expects)
    connection.sendall(head + b"Content-Length: %d\r\n\r\n" % size)
    connection.sendall(b"x" * size)  # to the end, and nothing is reset on the way
    reply = reply_on(connection, "PUT")
    while reply.status_code == 100:
        reply = reply_on(connection, "PUT")
    assert reply.status_code == (404 if b"nowhere" in path else 413 if size > limit else 400)
    assert "error" in reply.json()
    if reply.headers.get("connection") == "close":
        assert connection.recv(1) == b""


def test_whoever_waits_for_leave_to_send_is_refused_without_it(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    connection.sendall(
        b"PUT /v1/collections/docs/documents/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Expect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
    )
    received = rest_of(connection)
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in received


def test_a_short_body_that_nobody_reads_leaves_the_connection_usable(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    for _ in range(3):
        connection.sendall(b"POST /v1/nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        reply = reply_on(connection, "POST")
        assert (reply.status_code, reply.headers.get("connection")) == (404, None)
        connection.sendall(b"x" * 1000)
    connection.sendall(GET)
    assert reply_on(connection).status_code == 200
