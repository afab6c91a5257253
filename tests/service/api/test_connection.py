"""Connections whose clients do not behave, over real sockets."""

import json
import logging
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPResponse
from typing import Any

import httpx
import psutil
import pytest

PATIENCE_S = 200.0
HEAD_S = 0.6
STALL_S = 0.8
CLIENT_HELLO = bytes.fromhex("16030100a5010000a10303") + bytes(range(154))
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
SEARCH = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture
def address(listening: Callable[..., str]) -> str:
    return listening(server={"head_timeout_s": HEAD_S, "body_timeout_s": STALL_S, "max_body_bytes": 32 << 20})


@pytest.fixture
def connect(address: str) -> Iterator[Callable[[], socket.socket]]:
    """() -> a new connection."""
    opened: list[socket.socket] = []

    def one() -> socket.socket:
        opened.append(socket.create_connection(place(address), timeout=PATIENCE_S))
        return opened[-1]

    yield one
    for connection in opened:
        connection.close()


@pytest.fixture(autouse=True)
def _nothing_unforeseen(listening: Callable[..., str], caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Looked at before the server ends, which is with ``listening``."""
    yield
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


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
