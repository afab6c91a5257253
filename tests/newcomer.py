"""Somebody at a terminal in a clone of the project, who types what its pages say."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from markdown_page import ROOT
from scripted_memory import UNMARKED

START = "make run"
PATIENCE_S = 500.0
_ADDRESS = re.compile(r"(?:127\.0\.0\.1|localhost):8080")
# Commands that ask a server: they would ask that of the usual port.
_ASKING = re.compile(
    r"\bquarry (?:ask|backup|ingest|search|(?:collections|documents|index|jobs|keys) \w+)\b(?!.*--data-dir)"
)


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Newcomer:
    """Types commands one after the other; what one exports the next ones have.

    Args:
        home: an empty folder; the clone is in it.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self._clone = home / "clone"
        self._clone.mkdir()
        for name in ("Makefile", "README.md"):
            shutil.copy(ROOT / name, self._clone)
        (self._clone / ".venv").symlink_to(sys.prefix)
        self._exported = home / "exported"
        self._exported.touch()
        self._server: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """``make run``, until it has named the address as its last line; .venv is taken as it is."""
        there = ["--old-file=.venv/run.stamp", f"PORT={self.port}", "DOCUMENTS=README.md"]
        with (self.home / "server.log").open("w") as log:
            self._server = subprocess.Popen(
                [*START.split(), *there], cwd=self._clone, env=self._environment(), text=True, start_new_session=True,
                stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        assert self._server.stdout is not None
        said = ""
        for line in self._server.stdout:
            said += line
            if "Ready" in said and line.endswith(f"http://127.0.0.1:{self.port}/\n"):
                return
        raise AssertionError(said + self.logged)

    @property
    def logged(self) -> str:
        """What the server has said on stderr."""
        return (self.home / "server.log").read_text()

    @property
    def has_started(self) -> bool:
        """The server runs."""
        return self._server is not None and self._server.poll() is None

    def type(self, command: str) -> str:
        """What a command prints that ends well."""
        script = f"set -euo pipefail\n. {self._exported}\n{self._here(command)}\nexport -p > {self._exported}\n"
        return self._printed(["bash", "-c", script])

    def python(self, program: str) -> str:
        """What a program prints that ends well."""
        return self._printed([sys.executable, "-c", self._here(program)])

    def end(self) -> None:
        """Ctrl-C."""
        if self._server is None:
            return
        os.killpg(self._server.pid, signal.SIGINT)
        try:
            self._server.wait(PATIENCE_S)
        finally:
            if self._server.poll() is None:
                os.killpg(self._server.pid, signal.SIGKILL)
            assert self._server.stdout is not None
            self._server.stdout.close()
        assert "***" not in self.logged, "Ctrl-C is how it ends, and no error"

    def _printed(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self._clone, env=self._environment(), capture_output=True, text=True, timeout=PATIENCE_S,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command[-1]}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _here(self, text: str) -> str:
        at_address = _ADDRESS.sub(f"127.0.0.1:{self.port}", text)
        return _ASKING.sub(lambda found: f"{found[0]} --url http://127.0.0.1:{self.port}", at_address)

    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUARRY_", "MAKE"))}
        return (
            kept
            | UNMARKED
            | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # as . .venv/bin/activate does
            | {"HOME": str(self.home), "HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        )
