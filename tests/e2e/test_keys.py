"""Keys of real servers: one that does not start without, and one that asks for them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

from scripted_memory import UNMARKED

ROOT = Path(__file__).parents[2]
QUARRY = str(Path(sys.executable).with_name("quarry"))
ADMIN = "a-key-of-an-operator-with-40-characters!"

Server = tuple[subprocess.Popen[bytes], httpx.Client]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """(*command, **environment) -> the command at its end."""

    def run(*command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("QUARRY_")}
        environment = kept | {"HF_HUB_OFFLINE": "1"} | UNMARKED | variables
        return subprocess.run(
            [str(part) for part in command], env=environment, capture_output=True, text=True, timeout=500, check=False
        )

    return run


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the configured key."""
    path = tmp_path_factory.mktemp("secrets") / "admin"
    path.write_text(f"{ADMIN}\n")
    return path


@pytest.fixture(scope="module")
def keyed(
    serve_module: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory, secret: Path
) -> tuple[httpx.Client, Path]:
    """A server with a configured key, a client that shows none, and the data directory."""
    data_dir = tmp_path_factory.mktemp("keyed") / "data"
    _, http = serve_module(data_dir, QUARRY_ACCESS__ADMIN_KEY_FILE=str(secret))
    return http, data_dir


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "quarry.example"])
@pytest.mark.parametrize("command", ["serve", "up"])
def test_a_server_that_others_reach_does_not_start_without_a_key(
    run: Run, tmp_path: Path, host: str, command: str
) -> None:
    done = run(QUARRY, command, "--host", host, "--port", "0", "--data-dir", tmp_path / "data")
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith(f"quarry: server.host is {host!r}")]
    assert len(said) == 1
    assert "quarry keys create NAME --scope admin --data-dir DIR" in said[0]
    if command == "serve":
        assert done.stderr.splitlines() == said
        assert not (tmp_path / "data").exists()


def test_it_is_refused_before_anything_large_is_loaded(run: Run, tmp_path: Path) -> None:
    serve = ("-m", "service", "serve", "--host", "0.0.0.0", "--data-dir", tmp_path)
    done = run(sys.executable, "-X", "importtime", *serve)
    assert done.returncode == 1
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "service.access.keys" in loaded
    assert not {"torch", "faiss", "fastapi"} & loaded


def test_damaged_keys_end_the_start_in_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text("{")
    done = run(QUARRY, "serve", "--port", "0", "--data-dir", tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "keys.json is damaged" in line


def test_the_log_says_whether_keys_are_needed(
    spawn: Callable[..., tuple[subprocess.Popen[bytes], Path]], tmp_path: Path, run: Run
) -> None:
    def first_line(*, needs: bool) -> str:
        process, log = spawn(tmp_path, QUARRY_EMBEDDING__MODEL=str(tmp_path / "none"))  # which ends it soon
        assert process.wait(500) == 1
        messages = [json.loads(line)["message"] for line in log.read_text().splitlines() if line.startswith("{")]
        (said,) = [message for message in messages if "needs a key" in message or "no key" in message]
        assert ("needs a key" in said) is needs
        return str(said)

    assert "no key is needed at 127.0.0.1" in first_line(needs=False)
    made = run(QUARRY, "keys", "create", "op", "--scope", "admin", "--data-dir", tmp_path)
    assert made.returncode == 0, made.stderr
    assert "every request needs a key: 1 hold" in first_line(needs=True)


def test_a_key_of_a_file_opens_the_server_and_makes_others(
    keyed: tuple[httpx.Client, Path], run: Run, tmp_path: Path
) -> None:
    http, data_dir = keyed
    url = str(http.base_url)
    assert http.get("/readyz").is_success
    assert http.get("/v1/collections").status_code == 401
    (tmp_path / "memo.txt").write_text("The audit is on Friday.")
    ingest = (QUARRY, "ingest", tmp_path / "memo.txt", "--collection", "docs", "--url", url)
    refused = run(*ingest)
    assert refused.returncode == 1
    assert "QUARRY_KEY" in refused.stderr
    create = ("keys", "create", "reader", "--scope", "query", "--collection", "docs", "--url", url)
    made = run(QUARRY, *create, QUARRY_KEY=ADMIN)
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    assert run(*ingest, QUARRY_KEY=ADMIN).returncode == 0
    assert run(*ingest, QUARRY_KEY=key).returncode == 1
    asked = run(QUARRY, "ask", "When is the audit?", "--collection", "docs", "--url", url, QUARRY_KEY=key)
    assert "Friday" in asked.stdout
    offline = run(QUARRY, "keys", "list", "--data-dir", data_dir)
    assert (offline.returncode, "--url" in offline.stderr) == (1, True)


# Looked for, not imported: locust patches the threads of the process that imports it.
@pytest.mark.skipif(find_spec("locust") is None, reason="the loadtest extra is not installed")
@pytest.mark.slow
def test_locust_users_show_the_key(keyed: tuple[httpx.Client, Path], run: Run, tmp_path: Path) -> None:
    http, _ = keyed
    headers = {"Authorization": f"Bearer {ADMIN}"}
    http.put("/v1/collections/load/documents/a", json={"text": "A segment is sealed."}, headers=headers)
    command = [sys.executable, "-m", "locust", "-f", ROOT / "loadtests/locustfile.py", "--headless", "--users", "1"]
    command += ["--run-time", "2s", "--host", str(http.base_url), "--collection", "load", "--csv", tmp_path / "run"]
    assert run(*command, QUARRY_KEY=ADMIN).returncode == 0
    assert run(*command).returncode == 1, "every request fails without it"


@pytest.mark.skipif(find_spec("locust") is None, reason="the loadtest extra is not installed")
@pytest.mark.slow
def test_a_load_test_with_the_key_has_every_route_answered(
    keyed: tuple[httpx.Client, Path], run: Run, tmp_path: Path
) -> None:
    http, _ = keyed
    headers = {"Authorization": f"Bearer {ADMIN}"}
    http.put("/v1/collections/load/documents/a", json={"text": "A segment is sealed."}, headers=headers)
    (tmp_path / "questions").write_text("What is sealed?\nIs a segment sealed?\n")
    # As long as it takes: how fast this machine is does not matter here.
    patient = re.sub(r"(late_s|timeout_s|_ms) = [0-9.]+", r"\1 = 100000", (ROOT / "loadtests/budgets.toml").read_text())
    (tmp_path / "budgets.toml").write_text(re.sub(r"(ttft_)?p99_ms = .*", "", patient))
    options = ["--rate", "8", "--seconds", "4", "--collection", "load", "--url", str(http.base_url)]
    files = ["--budgets", tmp_path / "budgets.toml", "--questions", tmp_path / "questions", "--out", tmp_path / "out"]
    here = {"PYTHONPATH": str(ROOT)}
    done = run(sys.executable, "-m", "loadtests", *options, *files, QUARRY_KEY=ADMIN, **here)
    assert (done.returncode, done.stdout) == (0, "PASS steady: 4 budgets kept\n"), done.stderr
    samples = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]
    assert {sample["route"] for sample in samples} == {"search", "query", "stream", "chat", "ingest"}
    assert {sample["outcome"] for sample in samples} == {"ok"}
