"""The parsers' fork server beside a real server."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

Server = tuple[subprocess.Popen[bytes], httpx.Client]
PATIENCE_S = 100.0


def runs(process: psutil.Process) -> bool:
    """A zombie that whoever adopted it has not waited for does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("has_parsed", [False, True])
def test_serve_starts_it_and_kill_9_of_serve_ends_it(
    serve: Callable[..., Server], tmp_path: Path, has_parsed: bool
) -> None:
    process, http = serve(tmp_path / "data")
    pid = http.get("/v1/status").json()["parsing"]["fork_server"]
    assert pid in {child.pid for child in psutil.Process(process.pid).children()}, "there before the first file"
    if has_parsed:
        file = ("a.html", b"<h1>Title</h1><p>Words.</p>")
        reply = http.put("/v1/collections/docs/documents/a", files={"file": file}, params={"wait_ms": 100_000})
        assert reply.json()["status"] == "created"
        assert http.get("/v1/status").json()["parsing"]["fork_server"] == pid
    fork_server = psutil.Process(pid)
    assert "torch" not in Path(f"/proc/{pid}/maps").read_text()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    give_up = time.monotonic() + PATIENCE_S
    while runs(fork_server):
        assert time.monotonic() < give_up
        time.sleep(0.02)
