"""A real Redis or Valkey server that a test starts, stops, freezes and kills."""

import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

SHARED = "what all processes know, with more than 32 characters"
PATIENCE_S = 200.0


class RedisProcess:
    """On a Unix socket, with nothing on the disk.

    Attributes:
        url: as ``redis.url`` has it.
    """

    def __init__(self, folder: Path, command: str) -> None:
        self._folder = folder
        self._command = command
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self, *options: str) -> None:
        """Empty, and answering when this returns."""
        command = [self._command, "--port", "0", "--unixsocket", str(self._socket), "--save", "", "--appendonly", "no"]
        log = (self._folder / "log").open("ab")
        with log:
            self._process = subprocess.Popen([*command, *options], cwd=self._folder, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < until
            time.sleep(0.01)

    def freeze(self) -> None:
        """It takes connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """With all that it knows."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def client(self) -> Any:  # noqa: ANN401  the library's types say little
        """Waits for its answers."""
        redis = pytest.importorskip("redis", reason="the extra redis is not installed")
        return redis.Redis(unix_socket_path=str(self._socket))

    def settings(self, **more: object) -> dict[str, Any]:
        """The group ``redis``, with patience for a machine that others use too."""
        return {"url": self.url, "secret": SHARED, "timeout_ms": 20_000, **more}

    def variables(self, **more: object) -> dict[str, str]:
        """The same, for the environment of a process."""
        return {f"QUARRY_REDIS__{name.upper()}": str(value) for name, value in self.settings(**more).items()}

    def _answers(self) -> bool:
        redis = pytest.importorskip("redis", reason="the extra redis is not installed")
        try:
            return bool(self.client().ping())
        except redis.exceptions.RedisError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def redis_command() -> str:
    """Where the program is; without it the test is skipped."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        pytest.skip("there is no redis-server: Debian's package of that name has it")
    return found
