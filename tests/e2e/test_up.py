"""`quarry up` with the real `quarry serve`, and a stand-in for vLLM that streams."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from scripted_memory import UNMARKED

pytestmark = pytest.mark.slow

QUARRY = str(Path(sys.executable).with_name("quarry"))
FAKE = Path(__file__).parents[1] / "service" / "up" / "fake_vllm.py"
PATIENCE_S = 500.0
KEY = "a-key-of-an-operator-with-40-characters!"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Up:
    """The command with a configured key, the files it leaves, and a client of what it serves."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "up.log"
        port = free_port()
        vllm, config = folder / "vllm", folder / "quarry.toml"
        vllm.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} {folder} "$@"\n')
        vllm.chmod(0o755)
        config.write_text(
            f'[llm.main]\nmodel = "m"\n[llm.main.managed]\nweights = "{folder}"\ncommand = "{vllm}"\n'
            f"[server]\nport = {port}\n"
        )
        environment = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
        secret = folder / "key"
        secret.write_text(KEY)
        environment["QUARRY_ACCESS__ADMIN_KEY_FILE"] = str(secret)
        command = [QUARRY, "up", "--config", str(config), "--data-dir", str(folder / "data")]
        with self.log.open("wb") as log:
            self.parent = subprocess.Popen(command, stderr=log, env=environment | {"HF_HUB_OFFLINE": "1"} | UNMARKED)
        headers = {"Authorization": f"Bearer {KEY}"}
        address = f"http://127.0.0.1:{port}"
        self.http = httpx.Client(base_url=address, headers=headers, timeout=300, trust_env=False)

    def until(self, condition: Callable[[], Any]) -> Any:  # noqa: ANN401
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up and self.parent.poll() is None:
            if found := condition():
                return found
            time.sleep(0.05)
        pytest.fail(f"waited in vain, exit code {self.parent.poll()}:\n{self.log.read_text()}")

    def seen_by_serve(self) -> str:
        """The phase of vLLM; empty while nobody answers."""
        with suppress(httpx.HTTPError):
            return str(self.http.get("/v1/status").json()["supervision"]["llm"]["main"]["phase"])
        return ""

    def events(self, child: str, phase: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if (line.get("child"), line.get("phase")) == (child, phase)]

    def pids(self, child: str) -> list[int]:
        return [event["pid"] for event in self.events(child, "starting")]

    def close(self) -> None:
        self.http.close()
        if self.parent.poll() is None:
            self.parent.kill()
        self.parent.wait()
        for pid in [*self.pids("serve"), *self.pids("llm-main")]:
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if str(self.folder) in " ".join(psutil.Process(pid).cmdline()):
                    os.killpg(pid, signal.SIGKILL)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    opened = Up(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


def put(http: httpx.Client, name: str) -> int:
    body = {"text": "Roses are pruned in early March before the buds open."}
    return http.put(f"/v1/collections/default/documents/{name}", json=body).status_code


def test_each_of_the_two_dies_and_the_other_serves_on(up: Up) -> None:
    up.until(lambda: up.seen_by_serve() == "ready")
    assert put(up.http, "roses") == 201
    search = {"query": "When are roses pruned?"}

    os.kill(up.pids("llm-main")[0], signal.SIGKILL)
    while len(up.events("llm-main", "ready")) < 2:
        assert up.http.post("/v1/search", json=search).json()["chunks"]
        assert up.parent.poll() is None, up.log.read_text()
    up.until(lambda: up.seen_by_serve() == "ready")

    vllm = up.pids("llm-main")[-1]
    os.kill(up.pids("serve")[0], signal.SIGKILL)
    up.until(lambda: len(up.events("serve", "ready")) == 2)
    up.until(lambda: up.seen_by_serve() == "ready")
    assert up.http.post("/v1/search", json=search).json()["chunks"]
    assert psutil.pid_exists(vllm)
    assert up.pids("llm-main")[-1] == vllm

    up.parent.send_signal(signal.SIGTERM)
    assert up.parent.wait(PATIENCE_S) == 0
    assert not [pid for pid in (vllm, up.pids("serve")[-1]) if psutil.pid_exists(pid)]
    assert "Traceback" not in up.log.read_text()


def test_a_stream_is_cut_by_the_second_signal_and_says_so(
    tmp_path: Path, spawn: Callable[..., tuple[subprocess.Popen[bytes], Path]], dripping: str
) -> None:
    model = {"QUARRY_LLM__MAIN__URL": dripping, "QUARRY_LLM__MAIN__MODEL": "m"}
    process, log = spawn(tmp_path / "data", **model)
    address = _address(process, log)
    assert '"message":"loading all-MiniLM-L6-v2"' in log.read_text()
    with httpx.Client(base_url=address, timeout=300, trust_env=False) as http, httpx.Client(trust_env=False) as other:
        assert put(http, "roses") == 201
        question = {"query": "When are roses pruned?", "stream": True}
        with http.stream("POST", "/v1/query", json=question) as response:
            lines = response.iter_lines()
            while next(lines) != "event: token":
                pass
            process.send_signal(signal.SIGTERM)
            while other.get(f"{address}/readyz").status_code != 503:
                pass
            refused = other.post(f"{address}/v1/search", json={"query": "roses"})
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
            process.send_signal(signal.SIGTERM)
            rest = list(lines)
        assert "event: error" in rest
        assert "event: done" not in rest
    assert process.wait(PATIENCE_S) == 0
    assert "Traceback" not in log.read_text()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up and process.poll() is None:
        for line in log.read_text().splitlines():
            if line.startswith("{") and "Uvicorn running on " in line:
                return str(json.loads(line)["message"].split()[3])
        time.sleep(0.05)
    pytest.fail(f"no server: {log.read_text()}")


@pytest.fixture
def dripping() -> Iterator[str]:
    """Address of a model that goes on for ever."""
    program = Path(__file__).with_name("dripping_model.py")
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.kill()
