"""quarry health."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli.main import app


def health(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["health", "--url", url, *arguments])


@contextmanager
def answering(status: int, body: str) -> Iterator[str]:
    """Address of a server that says the same to everything."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_of_a_server_that_runs(listening: Callable[..., str]) -> None:
    url = listening()
    assert (health(url).stdout, health(url).exit_code) == ("ok\n", 0)
    assert health(url, "--ready").stdout == "ready\n"
    assert json.loads(health(url, "--json").stdout) == {"status": "ok"}


def test_of_one_that_is_ready_without_something() -> None:
    with answering(200, '{"status": "ready", "reasons": [], "degraded": ["llm", "disk"]}') as url:
        found = health(url, "--ready")
    assert (found.stdout, found.exit_code) == ("ready, but for llm, disk\n", 0)


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, '{"status": "unavailable", "reasons": ["embedder: stuck"], "degraded": []}', "503: embedder: stuck"),
        (503, '{"status": 503, "detail": "the server is shutting down"}', "503: the server is shutting down"),
        (200, "<html>", "is no Quarry"),
        (502, "<html>", "is no Quarry"),
        (200, "[]", "200: "),
    ],
)
def test_of_one_that_is_not_well(status: int, body: str, said: str) -> None:
    with answering(status, body) as url:
        found = health(url, "--ready")
    assert (found.exit_code, found.stdout) == (1, "")
    assert said in found.stderr


def test_of_none() -> None:
    found = health("http://127.0.0.1:9")
    assert found.exit_code == 1
    assert "does quarry serve run there?" in found.stderr
