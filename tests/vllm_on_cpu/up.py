"""`quarry up` as an operator runs it, with the real vLLM on the CPU."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from scripted_memory import UNMARKED
from vllm_on_cpu.server import MODEL, READY_WITHIN_S

LLM = "main"
MAX_SEQS = 2
CONTEXT = 32768  # all that the tiny model has: streams last for seconds on a fast and idle machine too
_POLL_S = 0.05
# A server that is late may close a kept connection just when the next request is on its way.
_NONE_KEPT = httpx.Limits(max_keepalive_connections=0)
_ADDRESS = re.compile(r'"Uvicorn running on (\S+) ')

Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Up:
    """A parent and what it says.

    Attributes:
        log: of the parent and of `quarry serve`.
        data_dir: with the socket and the log of vLLM in it.
    """

    process: subprocess.Popen[bytes]
    log: Path
    data_dir: Path

    @property
    def url(self) -> str:
        """Of the `quarry serve` that was started last."""
        return _ADDRESS.findall(self.log.read_text())[-1]

    def http(self) -> httpx.Client:
        """A client of it, to be closed by the caller."""
        transport = httpx.HTTPTransport(limits=_NONE_KEPT)
        return httpx.Client(base_url=self.url, transport=transport, timeout=120, trust_env=False)

    def vllm_http(self) -> httpx.Client:
        """A client of vLLM, to be closed by the caller."""
        transport = httpx.HTTPTransport(uds=self.socket, limits=_NONE_KEPT)
        return httpx.Client(base_url="http://vllm", transport=transport, timeout=300)

    @property
    def socket(self) -> str:
        """Of vLLM."""
        return str(self.data_dir / "run" / f"{LLM}.sock")

    def events(self, child: str, *phases: str) -> list[Event]:
        """What it said of a process, in these phases or in all."""
        lines = self.log.read_text().splitlines(keepends=True)
        told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]
        return [e for e in told if e.get("child") == child and (not phases or e["phase"] in phases)]

    def llm(self, *phases: str) -> list[Event]:
        """What it said of vLLM."""
        return self.events(f"llm-{LLM}", *phases)

    @property
    def starts(self) -> list[Event]:
        """Every start of vLLM; what it answered on the way up is a phase of the same name, but has no process."""
        return [event for event in self.llm("starting") if "pid" in event]

    @property
    def vllm_pid(self) -> int:
        """The vLLM that was started last; the leader of its session."""
        return int(self.starts[-1]["pid"])

    @property
    def serve_pid(self) -> int:
        """The `quarry serve` that was started last; the leader of its session."""
        return int(self.events("serve", "starting")[-1]["pid"])

    def engine_pid(self) -> int:
        """The process in which that vLLM's model runs."""
        children = psutil.Process(self.vllm_pid).children()
        (engine,) = (child for child in children if "Engine" in child.name())
        return engine.pid

    def until(self, reached: Callable[[], Any]) -> None:
        """Return as soon as it is so; fail with the log if it never is, or the parent is gone."""
        give_up = time.monotonic() + READY_WITHIN_S
        while not reached():
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise AssertionError(f"in vain; exit code {self.process.poll()}:\n{self.log.read_text()[-6000:]}")
            time.sleep(_POLL_S)

    def end(self) -> None:
        """Kill all that it runs, and it."""
        self.process.kill()
        self.process.wait()
        for session in {event["pid"] for event in [*self.events("serve", "starting"), *self.starts]}:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(session, signal.SIGKILL)


def start_up(command: Path, weights: Path, folder: Path) -> Up:
    """`quarry up` that is still on its way up.

    Args:
        command: the ``vllm`` executable.
        weights: the model.
        folder: where everything goes.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "QUARRY_"))}
    managed = {"weights": str(weights), "command": str(command), "max_num_seqs": MAX_SEQS, "args": ["--enforce-eager"]}
    llms = {LLM: {"model": MODEL, "context": CONTEXT, "managed": managed}}
    own |= {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "QUARRY_LLM": json.dumps(llms)} | UNMARKED
    log, data_dir = folder / "log", folder / "data"
    quarry = str(Path(sys.executable).with_name("quarry"))
    with log.open("wb") as out:
        arguments = [quarry, "up", "--port", "0", "--data-dir", str(data_dir)]
        process = subprocess.Popen(arguments, stderr=out, env=own, start_new_session=True)
    return Up(process, log, data_dir)


def session_members(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found
