"""nginx by deploy/nginx: who is asked what, what is asked again, and what is said when nobody answers."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from markdown_page import ROOT
from nginx_process import DEPLOYED, PATIENCE_S, NginxProcess, nginx_command, replaced
from service.api.queries_only import SERVED
from service.api.schemas.problem import Problem

# A replica has them too, of itself: from outside they are asked of the writer, or of each process directly.
OF_EACH = {("GET", "/v1/status"), ("GET", "/metrics")}
REFERENCE = ROOT / "docs" / "reference" / "api.md"
ROUTES = [
    (line.split()[1], line.split()[2])
    for line in REFERENCE.read_text().splitlines()
    if line.startswith("### ") and line.split()[1] in {"GET", "HEAD", "PUT", "POST", "DELETE"}
]
QUERY = {"query": "?"}

Behaviour = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Keeps connections, as Quarry does."""

    protocol_version = "HTTP/1.1"
    server: "Upstream"

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append((self.command, self.path, body))
        self.server.behaviour(self)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else body)

    def log_message(self, *_: object) -> None: ...


class Upstream(ThreadingHTTPServer):
    """What nginx asks."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, bytes]] = []
        self.behaviour: Behaviour = good
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def end(self) -> None:
        """Refuse connections."""
        self.shutdown()
        self.server_close()

    def handle_error(self, *_: object) -> None: ...  # a proxy that left


def good(handler: Handler) -> None:
    handler.reply(200, b"good")


def draining(handler: Handler) -> None:
    handler.reply(503, b"draining")


def cut(handler: Handler) -> None:
    """As a process that is killed: not even a head."""
    handler.close_connection = True


def cut_after_a_byte(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("content-length", "100")
    handler.end_headers()
    handler.wfile.write(b"x")
    handler.close_connection = True


class Site:
    """Two replicas and a writer behind an nginx, and a client of it."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.replicas = [Upstream(), Upstream()]
        self.writer = Upstream()
        for upstream in (*self.replicas, self.writer):
            stack.callback(upstream.server_close)
        addresses = [replica.address for replica in self.replicas]
        nginx = NginxProcess(folder, nginx_command(), addresses, self.writer.address)
        stack.callback(nginx.stop)
        nginx.start()
        client = httpx.Client(base_url=nginx.url, timeout=PATIENCE_S, trust_env=False)
        self.client = stack.enter_context(client)

    @property
    def asked(self) -> tuple[int, int]:
        """How often replicas and the writer were."""
        return sum(len(replica.asked) for replica in self.replicas), len(self.writer.asked)

    def both(self, behaviour: Behaviour) -> None:
        for replica in self.replicas:
            replica.behaviour = behaviour

    def asked_for(self, method: str, path: str) -> str:
        """Who was, by one request."""
        before = self.asked
        self.client.request(method, path)
        return {(1, 0): "replicas", (0, 1): "writer", (0, 0): "nobody"}[
            self.asked[0] - before[0], self.asked[1] - before[1]
        ]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(stack, tmp_path)


def test_nginx_takes_the_files_as_they_are_shipped(tmp_path: Path) -> None:
    """With TLS, where the other tests have none."""
    program = nginx_command()
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl")
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-days", "2"]
    files = ["-keyout", str(tmp_path / "quarry.key"), "-out", str(tmp_path / "quarry.crt")]
    subprocess.run([*made, *files], check=True, capture_output=True, timeout=PATIENCE_S)
    text = (DEPLOYED / "quarry.conf").read_text()
    hosts = [(f"{name}.example:8080", "127.0.0.1:8080") for name in ("replica-1", "replica-2", "writer")]
    (tmp_path / "quarry.conf").write_text(replaced(text, ("/etc/nginx", str(tmp_path)), *hosts))
    shutil.copy(DEPLOYED / "routes.conf", tmp_path / "quarry-routes.conf")
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid; events {{}} http {{ include quarry.conf; }}")
    command = [program, "-e", "stderr", "-t", "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_replica_serves_is_asked_of_replicas_and_all_else_of_the_writer(site: Site) -> None:
    assert len(ROUTES) > 40
    wanted, found = {}, {}
    for method, path in ROUTES:
        served = ("GET" if method == "HEAD" else method, path) in SERVED - OF_EACH and "/admin/" not in path
        wanted[method, path] = "nobody" if path == "/metrics" else "replicas" if served else "writer"
        name = path.replace("{", "").replace("}", "")
        found[method, path] = site.asked_for(method, name)
    assert found == wanted
    for path in ("/", "/playground/main.js"):
        assert site.asked_for("GET", path) == "replicas"


def test_paths_and_bodies_arrive_as_they_were_sent(site: Site) -> None:
    body = json.dumps({"query": "x" * 3_000_000}).encode()
    path = "/v1/collections/docs/documents/a%2Fb%20c?wait_ms=1"
    assert site.client.put(path, content=body).text == "good"
    assert site.writer.asked == [("PUT", path, body)]
    site.replicas[0].behaviour = draining
    for _ in range(2):
        assert site.client.post("/v1/embeddings", content=body).text == "good", "asked again with all of it"
    assert {asked for replica in site.replicas for asked in replica.asked} == {("POST", "/v1/embeddings", body)}


@pytest.mark.parametrize("behaviour", [draining, cut], ids=lambda behaviour: behaviour.__name__)
def test_a_query_that_a_replica_does_not_answer_is_asked_of_the_other(site: Site, behaviour: Behaviour) -> None:
    site.replicas[0].behaviour = behaviour
    replies = [site.client.post("/v1/query", json=QUERY) for _ in range(20)]
    assert {(reply.status_code, reply.text) for reply in replies} == {(200, "good")}
    assert site.replicas[0].asked
    assert len(site.replicas[1].asked) == 20
    assert site.asked[1] == 0


def test_a_replica_that_refuses_connections_costs_nobody_an_answer_and_is_asked_again_when_it_is_back(
    site: Site,
) -> None:
    site.replicas[0].end()
    for _ in range(20):
        assert site.client.post("/v1/search", json=QUERY).text == "good"
    assert site.client.get("/v1/collections/docs").text == "good"


def test_refusals_do_not_make_a_replica_lost(site: Site) -> None:
    """As it would be for ten seconds, with its share for the others, where too much to do is why."""
    site.both(draining)
    for _ in range(10):
        assert site.client.post("/v1/search", json=QUERY).text == "draining", "the last word is a replica's own"
    assert site.asked == (20, 0), "each is asked once"
    site.both(good)
    assert site.client.post("/v1/search", json=QUERY).text == "good"


def test_an_answer_that_has_begun_is_not_begun_again(site: Site) -> None:
    site.both(cut_after_a_byte)
    with pytest.raises(httpx.RemoteProtocolError):
        site.client.post("/v1/query", json=QUERY)
    assert site.asked == (1, 0)


@pytest.mark.parametrize("behaviour", [draining, cut], ids=lambda behaviour: behaviour.__name__)
def test_what_is_written_is_sent_once(site: Site, behaviour: Behaviour) -> None:
    site.writer.behaviour = behaviour
    for method, path in (("POST", "/v1/collections/docs/documents:batch"), ("PUT", "/v1/collections/docs/documents/a")):
        before = site.asked
        reply = site.client.request(method, path, json={})
        assert reply.status_code == 503
        assert (reply.text == "draining") == (behaviour is draining), "the writer's own words where there are any"
        assert site.asked == (before[0], before[1] + 1)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("PUT", "/v1/collections/docs/documents/a", "writer_unavailable"),
        ("DELETE", "/v1/collections/docs", "writer_unavailable"),
        ("POST", "/v1/admin/keys", "writer_unavailable"),
        ("GET", "/v1/collections/docs", "replicas_unavailable"),
        ("POST", "/v1/query", "replicas_unavailable"),
    ],
)
def test_who_is_away_is_said_as_a_problem(site: Site, method: str, path: str, code: str) -> None:
    for upstream in (*site.replicas, site.writer):
        upstream.end()
    reply = site.client.request(method, path)
    problem = Problem.model_validate_json(reply.content, strict=True)
    assert (reply.status_code, reply.headers["content-type"]) == (503, "application/problem+json")
    assert (problem.status, problem.error.code, problem.type) == (503, code, f"urn:quarry:problem:{code}")
    assert problem.request_id == reply.headers["x-request-id"]
    assert problem.retryable
    assert reply.headers["retry-after"] == "5"
