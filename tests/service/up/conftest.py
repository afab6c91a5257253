"""`quarry up` as a process of its own, with stand-ins for the two it runs."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
PATIENCE_S = 200.0
# Short pauses; what is held to be frozen keeps its time unless a test is about it.
QUICK = {
    "look_s": 0.05,
    "canary_every_s": 0.3,
    "count_every_s": 0.2,
    "left_over_s": 5.0,
    "first_pause_s": 0.05,
    "longest_pause_s": 0.2,
    "trim_every_s": 0.2,
}

Record = dict[str, Any]


@dataclass
class Up:
    """A data directory with its parents, one after another, and what all processes recorded."""

    folder: Path
    durations: dict[str, float] = field(default_factory=dict)
    parents: list[subprocess.Popen[bytes]] = field(default_factory=list)
    args: str = ""

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        return self.data_dir / "run" / "main.sock"

    def script(self, **what: object) -> None:
        new = self.folder / "script.new"
        new.write_text(json.dumps(what))
        new.replace(self.folder / "script.json")

    def start(self) -> subprocess.Popen[bytes]:
        """A parent; `log` and `events` are of the last one."""
        config = self.folder / "quarry.toml"
        config.write_text(
            f'data_dir = "{self.data_dir}"\n[llm.main]\nmodel = "m"\n'
            f'[llm.main.managed]\nweights = "{self.folder}"\ncommand = "{self.executable()}"\n{self.args}\n'
        )
        command = [sys.executable, HERE / "driver.py", config, HERE / "fake_serve.py", self.folder]
        with self._log(len(self.parents)).open("wb") as log:
            environment = os.environ | {"PYTHONPATH": str(ROOT)}
            durations = json.dumps(QUICK | self.durations)
            self.parents.append(subprocess.Popen([*command, durations], stderr=log, env=environment))
        return self.parents[-1]

    def executable(self) -> Path:
        path = self.folder / "vllm"
        if not path.exists():
            path.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE / "fake_vllm.py"} {self.folder} "$@"\n')
            path.chmod(0o755)
        return path

    @property
    def log(self) -> str:
        return self._log(len(self.parents) - 1).read_text()

    def events(self, process: str, phase: str) -> list[Record]:
        lines = [line for line in self.log.splitlines(keepends=True) if line.startswith("{") and line.endswith("\n")]
        found = [json.loads(line) for line in lines]
        return [event for event in found if (event.get("child"), event.get("phase")) == (process, phase)]

    def records(self, name: str, key: str) -> list[Record]:
        """What `serve` or `vllm` wrote down, of every life."""
        with suppress(FileNotFoundError):
            lines = (self.folder / f"{name}.jsonl").read_text().splitlines(keepends=True)
            return [found for line in lines if line.endswith("\n") and key in (found := json.loads(line))]
        return []

    def until(self, condition: Callable[[], Any]) -> Any:  # noqa: ANN401  what the condition found
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            if found := condition():
                return found
            time.sleep(0.02)
        pytest.fail(f"waited {PATIENCE_S:g} s in vain; the parent said:\n{self.log}")

    def ready(self, times: int = 1) -> Record:
        """vLLM was ready so many times."""
        return self.until(lambda: len(self.events("llm-main", "ready")) >= times and self.events("llm-main", "ready"))[
            times - 1
        ]

    def vllm(self) -> int:
        """Process id of the vLLM that was started last."""
        return int(self.records("vllm", "started")[-1]["pid"])

    def serve(self) -> int:
        return int(self.records("serve", "started")[-1]["pid"])

    def close(self) -> None:
        for parent in self.parents:
            if parent.poll() is None:
                parent.kill()
            parent.wait()
        for name in ("vllm", "serve"):
            for started in self.records(name, "started"):
                for pid in filter(None, (started["pid"], started.get("engine"))):
                    self._kill(pid)

    def _kill(self, pid: int) -> None:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            command = " ".join(psutil.Process(pid).cmdline())
            if str(self.folder) in command or command == "/bin/sleep 1000":
                os.kill(pid, signal.SIGKILL)

    def _log(self, number: int) -> Path:
        return self.folder / f"parent-{number}.log"


def is_running(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    opened = Up(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def running() -> Callable[[int], bool]:
    """(process id) -> whether it still runs."""
    return is_running
