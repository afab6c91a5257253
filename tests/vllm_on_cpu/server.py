"""A real ``vllm serve`` of a tiny model, on a Unix socket, for as long as a test needs it."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

MODEL = "tiny"
CONTEXT = 4096  # a stream to its end lasts for seconds on a fast and idle machine too
MAX_SEQS = 4
MAX_REQUESTS = 8
KV_BYTES = 2**30
# What generation.md asks a server to be started with, as far as a CPU has it.
FLAGS = (
    f"--served-model-name={MODEL}",
    f"--max-model-len={CONTEXT}",
    f"--max-num-seqs={MAX_SEQS}",
    f"--max-num-queued-reqs={MAX_REQUESTS}",
    "--scheduling-policy=priority",
    "--load-format=safetensors",
    "--shutdown-timeout=30",
    "--enable-per-request-metrics",
    "--enable-prompt-tokens-details",
    "--enforce-eager",
)
READY_WITHIN_S = 600.0
_END_WITHIN_S = 60.0
_POLL_S = 0.25
_KV_TOKENS = re.compile(r"\w+ KV cache size: ([\d,]+) tokens")
_CACHE_CONFIG = re.compile(r"^vllm:cache_config_info\{(.*)\} 1\.0$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class KvCache:
    """What the server set aside for keys and values, and for how many tokens that is, by its own account."""

    bytes: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Subject:
    """A server that the contract is held against, real or fake."""

    url: str
    http: httpx.Client


@dataclass(frozen=True, slots=True)
class VllmServer:
    """A running server.

    Attributes:
        process: the API server; it leads a session with the engine and its worker, so that ``os.killpg`` ends all.
        socket: what it listens on.
        log: its output.
    """

    process: subprocess.Popen[bytes]
    socket: Path
    log: Path

    @property
    def url(self) -> str:
        """As Quarry's settings take it."""
        return f"unix://{self.socket}"

    def client(self) -> httpx.Client:
        """A client, to be closed by the caller."""
        transport = httpx.HTTPTransport(uds=str(self.socket))
        return httpx.Client(base_url="http://vllm", transport=transport, timeout=READY_WITHIN_S)

    def wait_ready(self) -> None:
        """Return when it is healthy and has written a token.

        Raises:
            RuntimeError: it ended, or took too long; the message holds the end of its log.
        """
        give_up = time.monotonic() + READY_WITHIN_S
        with self.client() as client:
            while not self._is_healthy(client):
                if self.process.poll() is not None or time.monotonic() > give_up:
                    raise RuntimeError(f"no server, exit code {self.process.poll()}:\n{self._end_of_log()}")
                time.sleep(_POLL_S)
            body = {"model": MODEL, "prompt": "Hello", "max_tokens": 1}
            client.post("/v1/completions", json=body).raise_for_status()

    def kv_cache(self) -> KvCache:
        """The KV cache's bytes, from the metrics, and tokens, as logged."""
        with self.client() as client:
            configured = _CACHE_CONFIG.search(client.get("/metrics").text)
        logged = _KV_TOKENS.search(self.log.read_text())
        if not configured or not logged:
            raise RuntimeError(f"no size of the KV cache in the metrics and the log:\n{self._end_of_log()}")
        labels = dict(re.findall(r'(\w+)="([^"]*)"', configured[1]))
        return KvCache(int(labels["kv_cache_memory_bytes"]), int(logged[1].replace(",", "")))

    def end(self) -> None:
        """End the server in order, then whatever it left behind."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_WITHIN_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _is_healthy(self, client: httpx.Client) -> bool:
        # Asked here first: httpx leaves a socket open that could not be connected.
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(self.socket)) != 0:
                return False
        return client.get("/health").is_success

    def _end_of_log(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


def start(command: Path, weights: Path, folder: Path, flags: Sequence[str] = ()) -> VllmServer:
    """A server that is still on its way up; of a flag given twice, the last counts.

    Args:
        command: the ``vllm`` executable.
        weights: the model.
        folder: where its socket and its log go.
        flags: after the usual ones.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "QUARRY_"))}
    # One core for the engine: it would keep all of them busy, and the server in front of it would be heard of too late.
    own |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1"}
    own |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": str(KV_BYTES // 2**30)}
    server_socket, log = folder / "vllm.sock", folder / "vllm.log"
    server_socket.unlink(missing_ok=True)
    arguments = [str(command), "serve", str(weights), f"--uds={server_socket}", *FLAGS, *flags]
    with log.open("wb") as out:
        process = subprocess.Popen(arguments, stdout=out, stderr=out, env=own, start_new_session=True)
    return VllmServer(process, server_socket, log)
