"""A quarry serve of one's own, in its own process, for the length of a measurement."""

import http.client
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from service.cli.configuration import settings_or_fail

_START_S = 300.0
_STOP_S = 30.0
_SOCKET_SCHEME = "unix://"


class ServerStartError(Exception):
    """The server did not come up; the message holds the end of its log."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """Where it listens, its process, and its key where the settings configure one."""

    url: str
    pid: int
    key: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Of every request to it that needs a key."""
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}


@contextmanager
def running_server(
    data_dir: Path, config: Path | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[RunningServer]:
    """Start a server on a free port of 127.0.0.1, yield it, end it with SIGTERM.

    Args:
        variables: of its environment, beside those of this process.
    """
    port, key = free_port(), settings_or_fail(config).access.admin_key
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--data-dir", str(data_dir)]
    if config:
        command += ["--config", str(config)]

    def is_up() -> None:
        httpx.get(f"{url}/readyz", trust_env=False).raise_for_status()

    with running(command, data_dir.parent / f"{data_dir.name}.log", is_up, variables=variables) as pid:
        yield RunningServer(url, pid, key.get_secret_value() if key else None)


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    is_up: Callable[[], None],
    folder: Path | None = None,
    variables: Mapping[str, str | None] | None = None,
) -> Iterator[int]:
    """Start a server of any kind, yield its process id once it is up, end it with SIGTERM.

    Args:
        is_up: asks it; raises httpx's errors as long as it is not.
        folder: that it is started in; None is this one.
        variables: of its environment, beside those of this process; None takes one away.

    Raises:
        ServerStartError: it never was.
    """
    wanted = {**os.environ, **(variables or {})}
    environment = {name: value for name, value in wanted.items() if value is not None}
    with (
        log.open("ab") as out,
        subprocess.Popen(command, stdout=out, stderr=out, cwd=folder, env=environment) as process,  # noqa: S603  our own
    ):
        try:
            _wait_up(is_up, process, log)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def connection(url: str) -> http.client.HTTPConnection:
    """A kept-alive connection with less overhead of its own than any full client; ``unix:///path`` is a socket."""
    if url.startswith(_SOCKET_SCHEME):
        return _on_socket(url.removeprefix(_SOCKET_SCHEME))
    host = httpx.URL(url)
    plain = http.client.HTTPConnection(host.host, host.port)
    plain.connect()
    plain.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return plain


def _on_socket(path: str) -> http.client.HTTPConnection:
    plain = http.client.HTTPConnection("localhost")
    plain.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plain.sock.connect(path)
    except OSError:
        plain.close()
        raise
    return plain


def _wait_up(is_up: Callable[[], None], process: subprocess.Popen[bytes], log: Path) -> None:
    patience = Retrying(
        retry=retry_if_exception_type((httpx.TransportError, httpx.HTTPStatusError)),
        stop=stop_after_delay(_START_S),
        wait=wait_fixed(0.1),
    )

    def attempt() -> None:
        if process.poll() is not None:
            raise ServerStartError(f"the server ended with code {process.returncode}: {log.read_text()[-2000:]}")
        is_up()

    try:
        patience(attempt)
    except RetryError:
        raise ServerStartError(f"no server within {_START_S:g} s: {log.read_text()[-2000:]}") from None


def free_port() -> int:
    """One that nobody has taken just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
