"""A Milvus server for tests, in a process and an environment of its own: it brings a build of FAISS."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

# A start imports FAISS and pandas; on a busy machine that takes half a minute.
_START_S = 300


@pytest.fixture(scope="session")
def milvus_lite(tmp_path_factory: pytest.TempPathFactory) -> Iterator["MilvusLite"]:
    """A server that runs; skips where there is none, or no client of it."""
    pytest.importorskip("pymilvus", reason="needs the extra `milvus`")
    command = os.environ.get("MILVUS_LITE") or shutil.which("milvus-lite")
    if command is None:
        pytest.skip("needs milvus-lite: `make test-cluster` sets it up, MILVUS_LITE names it")
    server = MilvusLite(command, tmp_path_factory.mktemp("milvus"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def milvus_server(milvus_lite: "MilvusLite") -> Iterator[Callable[[str], Any]]:
    """(index type) -> a MilvusServer of this room that is connected to it when it is first asked."""
    from indexes.milvus_client import MilvusAddress, MilvusServer  # noqa: PLC0415  an extra
    from indexes.milvus_index import MilvusIndex  # noqa: PLC0415  beside it

    opened: list[MilvusServer] = []

    def connect(index: str) -> MilvusServer:
        # A wait as long as it takes: a busy machine is no failure.
        address = MilvusAddress(milvus_lite.url, timeout_s=120)
        opened.append(MilvusServer(address, MilvusIndex(index, nlist=8, nprobe=8)))
        return opened[-1]

    yield connect
    for server in opened:
        server.close()


class MilvusLite:
    """The process, and what it keeps over its end."""

    def __init__(self, command: str, folder: Path) -> None:
        self._command = command
        self._folder = folder
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self._port = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when it listens."""
        arguments = ["server", "--data-dir", str(self._folder / "data"), "--host", "127.0.0.1"]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._command, *arguments, "--port", str(self._port)], stdout=log, stderr=log
            )
        self._await_port()

    def stop(self) -> None:
        """Kill it: what it has acknowledged it keeps."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=60)

    def _await_port(self) -> None:
        assert self._process is not None
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout=0.1)
            else:
                return
        pytest.fail(f"milvus-lite does not listen: {(self._folder / 'log').read_text()[-2000:]}")
