"""A real nginx with the configuration of deploy/nginx, in a folder and on a port of its own."""

import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

DEPLOYED = Path(__file__).parents[1] / "deploy" / "nginx"
PATIENCE_S = 200.0
_AROUND = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
{site} }}
"""


class NginxProcess:
    """Without TLS, on 127.0.0.1.

    Args:
        replicas: ``host:port`` of each.
    """

    def __init__(self, folder: Path, command: str, replicas: Sequence[str], writer: str) -> None:
        self._command = command
        self._folder = folder
        self._replicas = replicas
        self._writer = writer
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when it listens."""
        shutil.copy(DEPLOYED / "routes.conf", self._folder / "routes.conf")
        (self._folder / "nginx.conf").write_text(_AROUND.format(folder=self._folder, site=self._site()))
        command = [self._command, "-e", "stderr", "-p", str(self._folder), "-c", str(self._folder / "nginx.conf")]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        until = time.monotonic() + PATIENCE_S
        while not self._listens():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < until
            time.sleep(0.01)

    def stop(self) -> None:
        """At once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """What it said of failures."""
        return (self._folder / "log").read_text()

    def _site(self) -> str:
        """The file that is shipped, with the addresses of a test."""
        lines = [line for line in (DEPLOYED / "quarry.conf").read_text().splitlines() if "ssl_" not in line]
        replicas = "".join(f"server {replica} max_fails=0;" for replica in self._replicas)
        return replaced(
            "\n".join(lines),
            ("server replica-1.example:8080 max_fails=0;", replicas),
            ("server replica-2.example:8080 max_fails=0;", ""),
            ("writer.example:8080", self._writer),
            ("listen 443 ssl", f"listen 127.0.0.1:{self._port}"),
            ("/etc/nginx/quarry-routes.conf", str(self._folder / "routes.conf")),
        )

    def _listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self._port)) == 0


def free_port() -> int:
    """One that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def nginx_command() -> str:
    """Where the program is; without it the test is skipped."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        pytest.skip("there is no nginx: Debian's package of that name has it")
    return found


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Each of what has to be there."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text
