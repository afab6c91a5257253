"""Connections whose clients do not behave, over real sockets."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import psutil
import pytest

from wire import (
    CLIENT_HELLO,
    GET,
    PATIENCE_S,
    SEARCH,
    closed_for,
    is_answered,
    place,
    problem_in,
    reply_on,
    rest_of,
    send_all,
)

pytestmark = pytest.mark.usefixtures("nothing_unforeseen")


@pytest.mark.parametrize("said", [GET[:20], GET, SEARCH + b"Content-Length: 100\r\n\r\n{"])
def test_half_closed(address: str, connect: Callable[[], socket.socket], said: bytes) -> None:
    for how in (socket.SHUT_WR, socket.SHUT_RD, socket.SHUT_RDWR):
        connection = connect()
        connection.sendall(said)
        connection.shutdown(how)
        assert is_answered(address)
        rest_of(connection)


def test_a_client_that_takes_nothing_of_a_reply(
    address: str, connect: Callable[[], socket.socket], until: Callable[[Callable[[], bool]], None]
) -> None:
    """It has asked for far more than the buffers of both sides hold."""
    path = "/v1/collections/docs/documents/large"
    with httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False) as client:
        assert client.put(path, json={"text": "abcdefg " * 50_000}).status_code == 201
    connections = [connect() for _ in range(3)]
    for connection in connections:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 32)
    until(lambda: closed_for(address, "reply_not_taken") == len(connections))
    until(lambda: open_connections(address) == 0)
    assert is_answered(address)


def open_connections(address: str) -> int:
    """Sockets of the server, which runs in this process."""
    sockets = psutil.Process().net_connections("tcp")
    return sum(each.laddr == place(address) and each.status == psutil.CONN_ESTABLISHED for each in sockets)


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """(condition) -> returns as soon as it holds."""

    def wait(condition: Callable[[], bool]) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < give_up
            time.sleep(0.02)

    return wait


def test_garbage_after_a_request_is_not_taken_for_its_answer(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    connection.sendall(GET + CLIENT_HELLO)
    received = rest_of(connection)
    assert received.count(b"HTTP/1.1") <= 1


def test_pipelined_requests_are_answered_in_order(connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    ids = [f"{i:032x}" for i in range(20)]
    connection.sendall(b"".join(GET[:-2] + f"X-Request-ID: {each}\r\n\r\n".encode() for each in ids))
    assert [reply_on_shared(connection) for _ in ids] == ids


def reply_on_shared(connection: socket.socket) -> str:
    """The request id of the next reply; not a byte of the one behind it is read."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(1)
    head = received.decode().lower()
    length = int(head.split("content-length: ")[1].split("\r\n")[0])
    while length:
        length -= len(connection.recv(length))
    return head.split("x-request-id: ")[1].split("\r\n")[0]


def test_thousands_of_pipelined_requests(address: str, connect: Callable[[], socket.socket]) -> None:
    connection = connect()
    send_all(connection, GET * 5000)
    rest_of(connection)
    assert closed_for(address, "malformed") == 1
    assert is_answered(address)


def test_an_upgrade_to_what_is_not_spoken_here(connect: Callable[[], socket.socket]) -> None:
    for protocol in (b"websocket", b"h2c"):
        connection = connect()
        connection.sendall(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: %s\r\n\r\n" % protocol)
        received = rest_of(connection)
        assert received.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in received


@pytest.fixture
def crowded(listening: Callable[..., str]) -> str:
    """A server of three connections."""
    return listening(server={"max_connections": 3, "body_timeout_s": PATIENCE_S, "head_timeout_s": PATIENCE_S})


@pytest.fixture
def say(crowded: str) -> Iterator[Callable[[bytes], socket.socket]]:
    """(bytes) -> a new connection on which they were sent."""
    with ExitStack() as stack:

        def one(said: bytes) -> socket.socket:
            connection = stack.enter_context(socket.create_connection(place(crowded), timeout=PATIENCE_S))
            connection.sendall(said)
            return connection

        yield one


def test_whoever_asks_for_nothing_gives_way(crowded: str, say: Callable[[bytes], socket.socket]) -> None:
    idle = [say(said) for said in (b"", b"GET /heal", GET)]
    assert reply_on(idle[2]).status_code == 200
    assert is_answered(crowded)
    assert rest_of(idle[0]) == b""
    assert closed_for(crowded, "evicted") == 1
    idle[1].sendall(b"thz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert reply_on(idle[1]).status_code == 200


def test_those_that_are_answered_stay(crowded: str, say: Callable[[bytes], socket.socket]) -> None:
    busy = [say(SEARCH + b"Content-Length: 20\r\n\r\n{") for _ in range(3)]
    while b" 503 " not in (reply := rest_of(say(b""))):
        pass  # the three are seen in the order in which they came, but not yet perhaps
    assert problem_in(reply, 503)["error"]["code"] == "overloaded"
    for connection in busy:
        connection.sendall(b'"query": 1        }')
        assert reply_on(connection, "POST").status_code == 422
    assert is_answered(crowded)
