"""A server of a load test's own: `quarry serve` with an empty data directory, and the fake vLLM as its model."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import httpx

from loadtests.driver import Server
from service.cli.bench.server import free_port, running

_ROOT = Path(__file__).resolve().parents[1]
# A small model on a card that has time: milliseconds to the first token, and between two.
_TTFT_MS, _ITL_MS = 50.0, 10.0
_CONTEXT = 8192
_SAID = "The documentation describes it in the first passage [1], and the second one adds what follows from that [2]."
# What is other than a server has it by default, and why; reports say so.
SETTINGS: Mapping[str, tuple[int, str]] = MappingProxyType(
    {
        "embedding.cache_bytes": (0, "questions of the test repeat, and those of users hardly do"),
        "limits.wait_ms": (200, "by default a search may wait for longer than its objective of a second"),
        "limits.write_wait_ms": (1000, "by default a document may wait for longer than its objective of five seconds"),
    }
)
_CONFIG = """
{settings}
[answer]
llm = "fake"
[llm.fake]
url = "unix://{socket}"
model = "fake"
server = "vllm"
context = {context}
"""
_MODEL_LOG, _SERVER_LOG = "llm.log", "server.log"


@contextmanager
def own_server(folder: Path, logs: Path) -> Iterator[Server]:
    """On a free port of 127.0.0.1, until the end of the block; settings of this shell do not reach it.

    Args:
        folder: of its data.
        logs: where ``server.log`` and ``llm.log`` go.

    Raises:
        ServerStartError: it does not come up.
    """
    socket, port = folder / "llm.sock", free_port()
    url = f"http://127.0.0.1:{port}"
    for name in (_MODEL_LOG, _SERVER_LOG):
        (logs / name).unlink(missing_ok=True)
    with (
        running(_model(socket), logs / _MODEL_LOG, lambda: _tell_what_to_say(socket), _ROOT),
        running(_quarry(folder, socket, port), logs / _SERVER_LOG, lambda: _ready(url), _ROOT, _variables()) as pid,
    ):
        yield Server(url, None, pid)


def _model(socket: Path) -> list[str]:
    command = [sys.executable, "-m", "loadtests.fake_vllm", "--uds", str(socket), "--max-model-len", str(_CONTEXT)]
    return [*command, "--ttft-ms", str(_TTFT_MS), "--itl-ms", str(_ITL_MS)]


def _quarry(folder: Path, socket: Path, port: int) -> list[str]:
    config = folder / "quarry.toml"
    settings = "\n".join(f"{name} = {value}" for name, (value, _) in SETTINGS.items())
    config.write_text(_CONFIG.format(settings=settings, socket=socket, context=_CONTEXT))
    command = [sys.executable, "-m", "service", "serve", "--port", str(port), "--config", str(config)]
    return [*command, "--data-dir", str(folder / "data")]


def _variables() -> dict[str, str | None]:
    """Without those of this shell that a server reads."""
    shell = [name for name in os.environ if name.startswith("QUARRY_")]
    return {**dict.fromkeys(shell), "QUARRY_SERVER__LOG_LEVEL": "warning"}


def _ready(url: str) -> None:
    httpx.get(f"{url}/readyz", trust_env=False).raise_for_status()


def _tell_what_to_say(socket: Path) -> None:
    if not socket.exists():  # httpx would leave a socket of its own open each time it finds none
        raise httpx.ConnectError(f"{socket} is not there yet")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://localhost") as http:
        http.post("/fake/script", json={"rules": [{"text": _SAID}]}).raise_for_status()
