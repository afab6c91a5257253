"""How far an ingest is, as others see it."""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from rich.console import Console

from service.cli.ingest_progress import IngestProgress

PATIENCE_S = 60.0


class Clock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_terminal_a_line_says_it_now_and_then() -> None:
    said, clock = io.StringIO(), Clock()
    with IngestProgress(17, Console(file=said, soft_wrap=True), clock) as progress:
        progress.advance(2)
        assert said.getvalue() == ""
        progress.follow("a.pdf", {"status": "running", "embedded": 1000, "texts": 3000})
        progress.follow("b.pdf", {"status": "running", "embedded": 200, "texts": 400})
        clock.now += 10
        progress.follow("c.pdf", {"status": "queued"})
        progress.follow("c.pdf", {"status": "queued", "embedded": None, "texts": None})
        clock.now += 10
        for name in ("a.pdf", "b.pdf", "c.pdf"):
            progress.follow(name, None)
        clock.now += 10
        progress.advance(3)
    assert said.getvalue().splitlines() == [
        "2 of 17 documents; 2 under way, 1 waiting, embedded 1200 of 3400 chunks and sentences",
        "2 of 17 documents; 1 under way, 1 waiting, embedded 200 of 400 chunks and sentences",
        "5 of 17 documents",
    ]


def test_on_a_terminal_the_bar_has_it() -> None:
    said = io.StringIO()
    console = Console(file=said, force_terminal=True, width=200)
    with IngestProgress(17, console) as progress:
        progress.advance(2)
        progress.follow("a.pdf", {"status": "running", "embedded": 1200, "texts": 3400})
    assert "2/17" in said.getvalue()
    assert "embedded 1200 of 3400 chunks and sentences" in said.getvalue()


class _Accepting(BaseHTTPRequestHandler):
    """Accepts every file, and tells nothing of its job until the test is over."""

    polled = threading.Event()
    over = threading.Event()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._reply(202, b'{"job_id": "j", "status": "accepted"}')

    def do_GET(self) -> None:
        self.polled.set()
        self.over.wait(PATIENCE_S)

    def _reply(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Accepting) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        _Accepting.over.set()
        server.shutdown()
        serving.join()


def test_who_interrupts_it_learns_what_goes_on(url: str, tmp_path: Path) -> None:
    (tmp_path / "manual.txt").write_text("Many words.")
    listening = ["env", "--default-signal=INT"]  # a shell lets what it starts in the background ignore it
    command = [*listening, sys.executable, "-m", "service", "ingest", tmp_path, "--collection", "docs", "--url", url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as ingest:
        try:
            assert _Accepting.polled.wait(PATIENCE_S)
            os.kill(ingest.pid, signal.SIGINT)
            _, said = ingest.communicate(timeout=PATIENCE_S / 2)
        finally:
            ingest.kill()
    assert ingest.returncode == -signal.SIGINT
    assert "the server goes on" in said
    assert "quarry jobs list --collection docs" in said
    assert "Traceback" not in said
