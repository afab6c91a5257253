"""Real `quarry serve` processes, and the real command line beside them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from scripted_memory import UNMARKED

QUARRY = str(Path(sys.executable).with_name("quarry"))
READY_WITHIN_S = 500.0
MAX_BODY_BYTES = 2_000_000

Server = tuple[subprocess.Popen[bytes], httpx.Client]


def _environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
    return kept | {"HF_HUB_OFFLINE": "1"} | UNMARKED | variables


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the server listens, as soon as its log says so."""
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up and process.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            if line.endswith("\n") and line.startswith("{"):
                message = json.loads(line)["message"]
                if message.startswith("Uvicorn running on "):
                    return str(message.split()[3])
        time.sleep(0.05)
    pytest.fail(f"no server within {READY_WITHIN_S:g} s, exit code {process.poll()}:\n{log.read_text()}")


class Processes:
    """`quarry serve` processes that end together.

    Args:
        stack: ends them.
        make_folder: for their logs.
    """

    def __init__(self, stack: ExitStack, make_folder: Callable[[str], Path]) -> None:
        self._stack = stack
        self._make_folder = make_folder

    def spawn(self, data_dir: Path, **variables: str) -> tuple[subprocess.Popen[bytes], Path]:
        """One on a free port, and the file of its log."""
        path = self._make_folder("server") / "log"
        log = self._stack.enter_context(path.open("wb"))
        command = [QUARRY, "serve", "--port", "0", "--data-dir", str(data_dir)]
        process = subprocess.Popen(command, stderr=log, env=_environment(**variables))
        self._stack.callback(_end, process)
        return process, path

    def serve(self, data_dir: Path, **variables: str) -> Server:
        """One that is ready, as its process and a client of it."""
        process, log = self.spawn(data_dir, **variables)
        http = httpx.Client(base_url=_address(log, process), timeout=300, trust_env=False)
        return process, self._stack.enter_context(http)


@pytest.fixture
def spawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[subprocess.Popen[bytes], Path]]]:
    """(data directory, **environment) -> `Processes.spawn`, until the test ends."""
    with ExitStack() as stack:
        yield Processes(stack, tmp_path_factory.mktemp).spawn


@pytest.fixture
def address() -> Callable[[Path, "subprocess.Popen[bytes]"], str]:
    """(log, process) -> where a spawned server listens, once it does."""
    return _address


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """(data directory, **environment) -> `Processes.serve`, until the test ends."""
    with ExitStack() as stack:
        yield Processes(stack, tmp_path_factory.mktemp).serve


@pytest.fixture(scope="module")
def serve_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """As ``serve``, until the tests of the module are over."""
    with ExitStack() as stack:
        yield Processes(stack, tmp_path_factory.mktemp).serve


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="session")
def shared_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared") / "data"


@pytest.fixture(scope="session")
def shared_server(
    tmp_path_factory: pytest.TempPathFactory, shared_data_dir: Path, tiny_embedder: Path, tiny_reranker: Path
) -> Iterator[Server]:
    """One server of two embedders and a reranker; each test has collections of its own, and none harms the others."""
    with ExitStack() as stack:
        yield Processes(stack, tmp_path_factory.mktemp).serve(
            shared_data_dir,
            QUARRY_SERVER__MAX_BODY_BYTES=str(MAX_BODY_BYTES),
            QUARRY_EMBEDDING__ALSO=json.dumps([str(tiny_embedder)]),
            QUARRY_RERANK__MODEL=str(tiny_reranker),
            QUARRY_RERANK__SEARCHES="false",  # its weights are random
        )


@pytest.fixture(scope="session")
def http(shared_server: Server) -> httpx.Client:
    """A client of the server that the tests of the session share."""
    return shared_server[1]


@pytest.fixture(scope="session")
def quarry() -> Callable[[Sequence[str | Path]], subprocess.CompletedProcess[str]]:
    """Runs the command line to its end."""

    def run(arguments: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
        command = [QUARRY, *map(str, arguments)]
        return subprocess.run(command, env=_environment(), capture_output=True, text=True, timeout=500, check=False)

    return run
