"""A quarry serve of one's own, in its own process, for the length of a measurement."""

import http.client
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

_START_S = 120.0
_STOP_S = 30.0


class ServerStartError(Exception):
    """The server did not come up; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where it listens, and its process."""

    url: str
    pid: int


@contextmanager
def running_server(data_dir: Path, config: Path | None = None) -> Iterator[RunningServer]:
    """Start a server on a free port of 127.0.0.1, yield it, end it with SIGTERM."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    log = data_dir.parent / f"{data_dir.name}.log"
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--data-dir", str(data_dir)]
    if config:
        command += ["--config", str(config)]
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:  # noqa: S603  our own
        try:
            _wait_ready(url, process, log)
            yield RunningServer(url, process.pid)
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def connection(url: str) -> http.client.HTTPConnection:
    """A kept-alive connection with less overhead of its own than any full client."""
    host = httpx.URL(url)
    plain = http.client.HTTPConnection(host.host, host.port)
    plain.connect()
    plain.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain


def _wait_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    patience = Retrying(
        retry=retry_if_exception_type((httpx.TransportError, httpx.HTTPStatusError)),
        stop=stop_after_delay(_START_S),
        wait=wait_fixed(0.1),
    )

    def is_up() -> None:
        if process.poll() is not None:
            raise ServerStartError(f"the server ended with code {process.returncode}: {log.read_text()[-2000:]}")
        httpx.get(f"{url}/readyz", trust_env=False).raise_for_status()

    try:
        patience(is_up)
    except RetryError:
        raise ServerStartError(f"no server within {_START_S:g} s: {log.read_text()[-2000:]}") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
