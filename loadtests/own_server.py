"""A server of a load test's own: `quarry serve` with an empty data directory, and the fake vLLM as its model."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from loadtests.driver import Server
from service.cli.bench.server import running, running_server

_ROOT = Path(__file__).resolve().parents[1]
# A small model on a card that has time: milliseconds to the first token, and between two.
_TTFT_MS, _ITL_MS = 50.0, 10.0
_CONTEXT = 8192
_SAID = "The documentation describes it in the first passage [1], and the second one adds what follows from that [2]."
# No vector is taken from a cache: questions repeat, and those of users hardly do.
_CONFIG = """
[embedding]
cache_bytes = 0
[limits]
wait_ms = 200
write_wait_ms = 1000
[answer]
llm = "fake"
[llm.fake]
url = "unix://{socket}"
model = "fake"
server = "vllm"
context = {context}
"""


@contextmanager
def own_server(folder: Path) -> Iterator[Server]:
    """On a free port of 127.0.0.1, until the end of the block.

    Raises:
        ServerStartError: it does not come up.
    """
    socket, config = folder / "llm.sock", folder / "quarry.toml"
    config.write_text(_CONFIG.format(socket=socket, context=_CONTEXT))
    command = [sys.executable, "-m", "loadtests.fake_vllm", "--uds", str(socket), "--max-model-len", str(_CONTEXT)]
    command += ["--ttft-ms", str(_TTFT_MS), "--itl-ms", str(_ITL_MS)]
    with (
        running(command, folder / "llm.log", lambda: _tell_what_to_say(socket), _ROOT),
        running_server(folder / "data", config, {"QUARRY_SERVER__LOG_LEVEL": "warning"}) as server,
    ):
        yield Server(server.url, server.key, server.pid)


def _tell_what_to_say(socket: Path) -> None:
    if not socket.exists():  # httpx would leave a socket of its own open each time it finds none
        raise httpx.ConnectError(f"{socket} is not there yet")
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://localhost") as http:
        http.post("/fake/script", json={"rules": [{"text": _SAID}]}).raise_for_status()
