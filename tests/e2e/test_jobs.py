"""Jobs of a real server that is killed in the middle of them."""

import json
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest

pytestmark = pytest.mark.slow

Server = tuple[subprocess.Popen[bytes], httpx.Client]
DOCUMENTS = "/v1/collections/docs/documents"
LINES = 600
PATIENCE_MS = 90_000


def ended(http: httpx.Client, job_id: str) -> dict[str, object]:
    job: dict[str, object] = http.get(f"/v1/jobs/{job_id}", params={"wait_ms": PATIENCE_MS}, timeout=120).json()
    assert job["finished_at"], job
    return job


@dataclass(frozen=True, slots=True)
class SecondLife:
    """A server on the data of one that was killed, and the jobs that the first was given."""

    server: Server
    data_dir: Path
    jobs: tuple[str, ...]


@pytest.fixture(scope="module")
def second_life(serve_module: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> SecondLife:
    data_dir = tmp_path_factory.mktemp("jobs") / "data"
    process, http = serve_module(data_dir)
    lines = "\n".join(json.dumps({"id": f"line-{n}", "text": f"Sentence number {n} of many."}) for n in range(LINES))
    http.put(f"{DOCUMENTS}/line-1", json={"text": "As it was before."})
    batch = http.post(f"{DOCUMENTS}:batch", content=lines, params={"wait_ms": 0}).json()["job_id"]
    files = [
        http.put(f"{DOCUMENTS}/f", files={"file": ("f.txt", text)}, params={"wait_ms": 0}).json()["job_id"]
        for text in (b"The first of two files.", b"The second of two files.")
    ]
    http.delete(f"{DOCUMENTS}/line-2")
    http.put(f"{DOCUMENTS}/line-3", json={"text": "Written after the batch."})
    give_up = time.monotonic() + PATIENCE_MS / 1000
    while not http.get(f"/v1/jobs/{batch}").json()["done"]:
        assert time.monotonic() < give_up
    process.send_signal(signal.SIGKILL)
    process.wait()
    return SecondLife(serve_module(data_dir), data_dir, (batch, *files))


def test_jobs_survive_kill_9_without_duplicates(second_life: SecondLife) -> None:
    _, http = second_life.server
    jobs = [ended(http, job) for job in second_life.jobs]
    assert {job["status"] for job in jobs} == {"succeeded"}
    documents = [entry["id"] for entry in http.get(DOCUMENTS, params={"limit": 1000}).json()["data"]]
    assert sorted(documents) == sorted({f"line-{n}" for n in range(LINES) if n != 2} | {"f"})
    assert http.get("/v1/collections/docs").json()["chunks"] == LINES, "one for each document"
    assert http.get(f"{DOCUMENTS}/f").json()["text"] == "The second of two files."
    assert http.get(f"{DOCUMENTS}/line-3").json()["text"] == "Written after the batch."
    assert http.get(f"{DOCUMENTS}/line-1").json()["text"] == "Sentence number 1 of many."
    assert list((second_life.data_dir / "jobs" / "raw").iterdir()) == []


def test_a_large_upload_is_not_held_in_memory(second_life: SecondLife, tmp_path: Path) -> None:
    process, http = second_life.server
    for job in second_life.jobs:
        ended(http, job)
    http.put(f"{DOCUMENTS}/small.exe", files={"file": ("small.exe", b"x")}, timeout=120)
    server = psutil.Process(process.pid)
    before = server.memory_info().rss
    size = 30 * 1024 * 1024
    with (tmp_path / "large.exe").open("wb") as file:
        file.truncate(size)
    with (tmp_path / "large.exe").open("rb") as file:  # of no known type, so that nothing but its receipt takes memory
        reply = http.put(f"{DOCUMENTS}/large.exe", files={"file": ("large.exe", file)}, timeout=120)
    assert reply.status_code == 415
    assert server.memory_info().rss - before < size / 2


def test_a_client_that_hangs_up_does_not_end_its_job(http: httpx.Client) -> None:
    text = "A sentence among very many of the kind. " * 4000
    with suppress(httpx.ReadTimeout):
        http.put(f"{DOCUMENTS}/long", files={"file": ("f.txt", text.encode())}, timeout=httpx.Timeout(60, read=0.05))
    give_up = time.monotonic() + PATIENCE_MS / 1000
    while not (jobs := http.get("/v1/jobs", params={"collection": "docs"}).json()["data"]):
        assert time.monotonic() < give_up
    (job,) = jobs
    assert ended(http, job["id"])["status"] == "succeeded"
    assert http.get(f"{DOCUMENTS}/long").json()["text"] == text


def test_jobs_on_the_command_line(
    serve: Callable[..., Server],
    quarry: Callable[[Sequence[str | Path]], subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    _, http = serve(tmp_path / "data", QUARRY_JOBS__DEFAULT_WAIT_MS="0")
    url = ("--url", str(http.base_url))
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text(f"Words number {number}.")
    (folder / "empty.txt").write_text(" ")
    first, second = (quarry(["ingest", folder, "--collection", "docs", *url]) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "12 created, 1 skipped as empty" in first.stdout
    assert "1 skipped as empty, 12 unchanged" in second.stdout
    page = json.loads(quarry(["jobs", "list", "--json", "--status", "succeeded", *url]).stdout)
    assert len(page["data"]) == 14, "the empty one has succeeded twice"
    job = next(each["id"] for each in page["data"] if each["document_id"] == "0.txt")
    assert f"{job} succeeded docs" in quarry(["jobs", "list", *url]).stdout
    assert "1/1 1 created" in quarry(["jobs", "show", job, *url]).stdout
    assert json.loads(quarry(["jobs", "cancel", job, "--json", *url]).stdout)["status"] == "succeeded"
    unknown = quarry(["jobs", "show", "unknown", *url])
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "404" in unknown.stderr
