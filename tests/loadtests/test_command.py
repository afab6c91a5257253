"""``python -m loadtests`` from the command line to its exit code, against a small server that looks like Quarry."""

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("matplotlib", reason="the loadtest extra is not installed")

from loadtests.__main__ import app
from loadtests.budgets import DEFAULT
from loadtests.sample import Outcome, read

# Looked for, not imported: locust patches the threads of the process that imports it.
pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="the loadtest extra is not installed")

ROOT = Path(__file__).parents[2]
PATIENCE_S = 500.0
STALL_MS = 2000
P99_MS = 1500
# What the machine itself does is no matter here: nothing but what is planted comes near these.
WIDE = {
    "search = { total_ms = 1000 }": "search = { total_ms = 60000 }",
    "{ total_ms = 3000 }": "{ total_ms = 60000 }",
    "{ ttft_ms = 1500, total_ms = 3000 }": "{ ttft_ms = 60000, total_ms = 60000 }",
    "ingest = { total_ms = 5000 }": "ingest = { total_ms = 60000 }",
    "timeout_s = 30.0": "timeout_s = 120.0",
    "late_s = 1.0": "late_s = 60.0",
    "query = 3000, stream = 3000, chat = 3000, ingest = 5000": "query = 60000",
    "p99_ms = { search = 1000,": f"p99_ms = {{ search = {P99_MS},",
    "degraded_share = 0.01": "degraded_share = 0.5",
    "memory_mib_per_hour = 64": "memory_mib_per_hour = 100000",
    "descriptors_per_hour = 20": "descriptors_per_hour = 20000",
    "threads_per_hour = 4": "threads_per_hour = 20000",
}


class Server(Protocol):
    """What the fixture ``fake`` starts."""

    @property
    def url(self) -> str: ...

    @property
    def pid(self) -> int: ...


@dataclass(frozen=True)
class Done:
    """A load test that is over."""

    code: int
    verdict: str
    folder: Path

    @property
    def report(self) -> dict[str, object]:
        return dict(json.loads((self.folder / "report.json").read_text()))


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Done]:
    """(server, *arguments, **budgets to change) -> the load test at its end."""

    def run(server: Server, *arguments: str, changes: dict[str, str] | None = None) -> Done:
        text = DEFAULT.read_text()
        for now, then in (WIDE | (changes or {})).items():
            assert now in text, now
            text = text.replace(now, then)
        (tmp_path / "budgets.toml").write_text(text)
        (tmp_path / "questions").write_text("What is closed?\nWhich valve?\n")
        command = [sys.executable, "-m", "loadtests", "--url", server.url, "--pid", str(server.pid), *arguments]
        command += ["--budgets", str(tmp_path / "budgets.toml"), "--questions", str(tmp_path / "questions")]
        command += ["--out", str(tmp_path / "out")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert done.stdout, done.stderr
        return Done(done.returncode, done.stdout.splitlines()[-1], tmp_path / "out")

    return run


@pytest.mark.slow
def test_a_server_without_faults_keeps_its_budgets(fake: Callable[..., Server], load: Callable[..., Done]) -> None:
    done = load(fake(), "--profile", "soak", "--rate", "20", "--seconds", "8")
    assert (done.code, done.verdict) == (0, "PASS soak: 7 budgets kept")
    report = done.report
    samples = read(done.folder / "samples.jsonl")
    assert report["offered"] == len(samples) > 0
    assert {each.outcome for each in samples} == {Outcome.OK}
    readings = [json.loads(line) for line in (done.folder / "server.jsonl").read_text().splitlines()]
    told = [each for each in readings if each["memory"] is not None]  # a busy machine may not answer each time
    assert {(each["queue_tokens"], each["llm_queue"], each["memory"]["cpu"]) for each in told} == {(7, 2, 2 << 20)}
    assert {each["gpu_used"]["cuda:0"] for each in told} == {2 << 20}
    assert all(each["descriptors"] > 0 and each["threads"] > 0 and each["resident_bytes"] > 0 for each in readings)
    log = (done.folder / "soak.log").read_text()
    assert all(name in log for name in ("ttft", "itl", "e2e", "search", "ingest"))
    page = (done.folder / "report.html").read_text()
    assert page.count("<svg") == 3
    assert "PASS soak: 7 budgets kept" in page
    assert "<script" not in page
    assert "src=" not in page


@pytest.mark.slow
def test_a_budget_below_what_is_possible_fails_the_run(fake: Callable[..., Server], load: Callable[..., Done]) -> None:
    below = {"ttft_p99_ms = { stream = 1500, chat = 1500 }": "ttft_p99_ms = { stream = 0.001 }"}
    done = load(fake(), "--mix", "stream", "--rate", "10", "--seconds", "2", changes=below)
    assert done.code == 1
    assert done.verdict.startswith("FAIL steady: ttft_p99_ms.stream ")
    assert done.verdict.endswith("(at most 0.001)")


@pytest.mark.slow
def test_a_stall_fails_the_run_and_is_hidden_by_users_who_wait(
    fake: Callable[..., Server], load: Callable[..., Done]
) -> None:
    stalled = fake("--stall-at", "40")
    done = load(stalled, "--mix", "search", "--rate", "30", "--seconds", "5")
    assert done.code == 1
    assert "p99_ms.search" in done.verdict
    slow = [each for each in read(done.folder / "samples.jsonl") if (each.total_ms or 0) > STALL_MS / 2]
    assert len(slow) >= 10, "all who came in the first half of the stall"
    waits_ms = _closed_loop(fake("--stall-at", "40"), requests=600)
    assert max(waits_ms) >= STALL_MS, "one user met it"
    assert np.percentile(waits_ms, 99) <= P99_MS


@pytest.mark.slow
def test_a_descriptor_that_leaks_fails_the_soak(fake: Callable[..., Server], load: Callable[..., Done]) -> None:
    done = load(fake("--leaks"), "--profile", "soak", "--rate", "20", "--seconds", "8")
    assert done.code == 1
    assert done.verdict.startswith("FAIL soak: descriptors_per_hour ")
    assert ";" not in done.verdict, "and nothing else is broken"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--mix", "none"],
        ["--pid", "1"],
        ["--budgets", "/none"],
        ["--profile", "no"],
        ["--pid", "99999999", "--url", "http://127.0.0.1:9"],
        ["--questions", __file__],
        ["--metrics-url", "http://127.0.0.1:9"],
        ["--rate", "4", "--profile", "capacity"],
        ["--seconds", "4", "--profile", "capacity"],
        ["--url", "127.0.0.1:9"],
        ["--url", "http://127.0.0.1:9/?a=b"],
    ],
)
def test_what_cannot_be_done_ends_with_two(arguments: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert arguments[0] in done.stderr or arguments[1] in done.stderr


def test_a_folder_that_cannot_be_written_ends_with_two(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["--url", "http://127.0.0.1:9", "--out", str(tmp_path / "file" / "out")])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--out" in done.stderr


def _closed_loop(server: Server, requests: int) -> list[float]:
    """Milliseconds of the requests of one user who sends, waits for the reply, and sends again."""
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=PATIENCE_S)
    waits_ms = []
    for _ in range(requests):
        sent = time.monotonic()
        connection.request("POST", "/v1/search", b"{}", {"Content-Type": "application/json"})
        connection.getresponse().read()
        waits_ms.append((time.monotonic() - sent) * 1000)
    connection.close()
    return waits_ms
