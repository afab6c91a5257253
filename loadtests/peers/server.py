"""A server of one's own, in its own process, for the length of the comparison."""

import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_S = 180.0
_STOP_S = 20.0
_POLL_S = 0.2


class ServerError(Exception):
    """The server did not come up, or ended too soon; the message holds the end of its log."""


class PortTakenError(Exception):
    """Something else listens on the port that was asked for."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How one server is started and spoken to.

    Attributes:
        command: without the port, which is appended.
        environment: added to this process's own.
        ready_path: answers 200 once requests are served.
        embeddings_path: takes OpenAI's embeddings requests.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    ready_path: str
    embeddings_path: str


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    launch: Launch
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        """Raise ServerError where the process has ended."""
        if (code := self.process.poll()) is not None:
            raise ServerError(f"{self.launch.name} ended with code {code}: {self._end_of_log()}")

    def wait_ready(self) -> None:
        """Return when it serves requests."""
        give_up = time.monotonic() + _START_S
        while not self._is_ready():
            self.check()
            if time.monotonic() > give_up:
                raise ServerError(f"{self.launch.name} is not ready after {_START_S:g} s: {self._end_of_log()}")
            time.sleep(_POLL_S)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.launch.ready_path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])[-2000:]


@contextmanager
def running(launch: Launch, port: int, folder: Path) -> Iterator[Server]:
    """Start a server on 127.0.0.1, yield it when it is ready, end it.

    Args:
        launch: what to start.
        port: 0 takes a free one.
        folder: where it runs and logs.

    Raises:
        PortTakenError: before anything is started.
        ServerError: it did not come up.
    """
    port = _reserved(port)
    log = folder / f"{launch.name}.log"
    environment = os.environ | launch.environment
    # A session of its own: Ctrl-C reaches this process alone, which then ends the server in order.
    with (
        log.open("ab") as out,
        subprocess.Popen(  # noqa: S603  our own
            [*launch.command, "--port", str(port)], stdout=out, stderr=out, env=environment, start_new_session=True
        ) as process,
    ):
        try:
            server = Server(launch, port, process, log)
            server.wait_ready()
            yield server
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.terminate()
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        pass  # the next line does not ask
    finally:
        process.kill()


def _reserved(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PortTakenError(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}") from None
        return int(probe.getsockname()[1])
