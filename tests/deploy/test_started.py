"""The server with exactly what a deployment gives it: it is ready, guarded, scraped, backed up, and ends in order."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from deployments import compose, given, systemd
from scripted_memory import UNMARKED

QUARRY = str(Path(sys.executable).with_name("quarry"))
PATIENCE_S = 500.0
KEY = "a-key-of-an-operator-with-40-characters!"
GUARD = {"Authorization": f"Bearer {KEY}"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(condition: Callable[[], Any], process: "subprocess.Popen[bytes]", log: Path) -> Any:  # noqa: ANN401
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up and process.poll() is None:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"waited in vain, exit code {process.poll()}:\n{log.read_text()}")


@dataclass(frozen=True, slots=True)
class Started:
    """The server of the CPU's compose project, its ports and paths being a test's."""

    process: "subprocess.Popen[bytes]"
    log: Path
    key: Path
    data_dir: Path
    port: int
    metrics_port: int

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=headers, timeout=300, trust_env=False)

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz", Host="quarry:8080").is_success
        except httpx.TransportError:
            return False


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    deployment, folder = given.every()["compose-cpu"], tmp_path_factory.mktemp("started")
    key, log, data_dir = folder / "admin-key", folder / "log", folder / "data"
    key.write_text(f"{KEY}\n")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
    moved = {"QUARRY_ACCESS__ADMIN_KEY_FILE": str(key), "QUARRY_DATA_DIR": str(data_dir)}
    assert set(moved) <= set(deployment.environment)
    environment = {**kept, "HF_HUB_OFFLINE": "1", **UNMARKED, **deployment.environment, **moved}
    port, metrics_port = free_port(), free_port()
    ports = ["--port", str(port), "--metrics-port", str(metrics_port)]
    with log.open("wb") as output:
        process = subprocess.Popen([QUARRY, *deployment.arguments, *ports], stderr=output, env=environment)
    try:
        server = Started(process, log, key, data_dir, port, metrics_port)
        until(server.is_ready, process, log)
        yield server
    finally:
        family = [process, *psutil.Process(process.pid).children(recursive=True)] if process.poll() is None else []
        for each in family:
            each.kill()
        process.wait()


def test_it_answers_whoever_has_the_key_and_nobody_else(started: Started) -> None:
    assert started.get("/v1/collections").status_code == 401
    with httpx.Client(
        base_url=f"http://127.0.0.1:{started.port}", headers=GUARD, timeout=300, trust_env=False
    ) as operator:
        text = {"text": "Roses are pruned in early March."}
        assert operator.put("/v1/collections/docs/documents/roses", json=text).status_code == 201
        question = {"query": "When are roses pruned?", "collection": "docs"}
        assert "March" in operator.post("/v1/query", json=question).json()["answer"]


def test_the_command_that_makes_a_key_for_a_client_makes_one(started: Started) -> None:
    page = (given.DEPLOY.parent / "docs" / "deploying.md").read_text()
    for name in ("compose", "kubernetes"):
        path = given.every()[name].environment["QUARRY_ACCESS__ADMIN_KEY_FILE"]
        command = f"QUARRY_KEY=$(cat {path}) quarry keys create acme --scope query,ingest"
        assert f"sh -c '{command}'" in page
    here = command.replace(path, str(started.key)).replace(" quarry ", f" {QUARRY} ")
    words = ["/bin/sh", "-c", f"{here} --url http://127.0.0.1:{started.port}"]
    made = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=True).stdout.strip()
    assert started.get("/v1/collections", Authorization=f"Bearer {made}").is_success


def test_systemd_waits_until_it_is_ready(started: Started) -> None:
    words = systemd.command(systemd.SERVER, "ExecStartPost", {"/opt/quarry/bin/python": sys.executable})
    environment = {"QUARRY_SERVER__PORT": str(started.port), "MAINPID": str(started.process.pid), "PATH": os.defpath}
    subprocess.run(words, env=environment, timeout=PATIENCE_S, check=True)


def test_systemd_backs_it_up(started: Started, tmp_path: Path) -> None:
    (tmp_path / "admin-key").write_text(f"{KEY}\n")
    words = systemd.command(systemd.BACKUP, "ExecStart", {"/opt/quarry/bin/quarry": QUARRY})
    environment = {**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path), "QUARRY_SERVER__PORT": str(started.port)}
    subprocess.run(words, env=environment, capture_output=True, timeout=PATIENCE_S, check=True)
    (backup,) = (started.data_dir / "backups").iterdir()
    assert backup.name.startswith("timer-")


def test_its_metrics_are_on_their_own_port_and_ask_for_no_key(started: Started) -> None:
    address = f"http://127.0.0.1:{started.metrics_port}/metrics"
    scrape = httpx.get(address, headers={"Host": "quarry:9464"}, timeout=300, trust_env=False)
    assert "quarry_ready 1.0" in scrape.text
    assert started.get("/metrics", **GUARD).status_code == 404


def test_prometheus_scrapes_it_with_the_configuration_of_compose(started: Started, tmp_path: Path) -> None:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is missing: Debian's package has it")
    configuration = yaml.safe_load((compose.FOLDER / "prometheus" / "prometheus.yaml").read_text())
    configuration["global"]["scrape_interval"] = "1s"
    configuration["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{started.metrics_port}"]}]
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
    shutil.copy(given.DEPLOY / "prometheus" / "rules.yaml", tmp_path)
    log, port = tmp_path / "log", free_port()
    command = [
        "prometheus", f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip

    def is_scraped() -> bool:
        try:
            reply = httpx.get(
                f"http://127.0.0.1:{port}/api/v1/query", params={"query": "quarry_ready"}, trust_env=False
            )
        except httpx.TransportError:
            return False
        if not reply.is_success:
            return False
        found = reply.json()["data"]["result"]
        return [(each["metric"]["job"], each["value"][1]) for each in found] == [("quarry", "1")]

    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        until(is_scraped, process, log)
    finally:
        process.kill()
        process.wait()


def test_it_ends_in_order(started: Started) -> None:
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(PATIENCE_S) == 0
    assert "did not end by itself" not in started.log.read_text()
    assert "Traceback" not in started.log.read_text()
