"""The API near the limit of memory: bulk work waits or is refused, nothing is lost, questions are answered."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import bulk_hold
from service.bulk_hold import BulkHold
from service.ingest.jobs import runner
from service.ingest.loaders import LoadedText, load_file
from service.memory_watch import MemoryWatch

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
DOCUMENTS = "/v1/collections/default/documents"
NDJSON = {"content-type": "application/x-ndjson"}
PATIENCE_S = 200.0
Memory = Any


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.construction.MemoryWatch", partial(MemoryWatch, every_s=0.005))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.construction.BulkHold", partial(BulkHold, 0.05))


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as pool:
        yield pool


def put(api: httpx.Client, name: str) -> httpx.Response:
    return api.put(f"{DOCUMENTS}/{name}", json={"text": "Moss grows on the wall."})


def until(api: httpx.Client, level: str) -> dict[str, Any]:
    """The status, once the watch has seen what the test did: all of it as it is after that."""
    while api.get("/v1/status").json()["memory"]["level"] != level:
        pass
    body: dict[str, Any] = api.get("/v1/status").json()
    return body


@pytest.mark.usefixtures("impatient")
def test_above_the_low_mark_writes_are_refused_jobs_wait_and_questions_are_answered(
    open_api: OpenApi, problem: Problem, scripted_memory: Memory
) -> None:
    with open_api(memory=scripted_memory) as api:
        assert put(api, "before").status_code == 201
        scripted_memory.shares["cpu"] = 0.92
        status = until(api, "low")
        assert status["memory"] == {
            "level": "low",
            "low": 0.9,
            "high": 0.95,
            "devices": {"cpu": {"used": 920_000, "limit": 1_000_000, "share": 0.92, "level": "low"}},
        }
        assert status["supervision"]["bulk_work"] == "held"
        assert "memory is above its low mark" in problem(put(api, "refused"), 503, "overloaded")["detail"]
        line = '{"id": "refused", "text": "Bees."}'
        problem(api.post(f"{DOCUMENTS}:batch", content=line, headers=NDJSON), 503, "overloaded")
        job = api.put(f"{DOCUMENTS}/late", params={"wait_ms": 0}, json={"text": "Ivy climbs."})
        assert job.status_code == 202
        assert api.post("/v1/search", json={"query": "moss"}).json()["chunks"]
        assert api.post("/v1/query", json={"query": "Where does moss grow?"}).json()["answer"]
        assert api.get("/readyz").json() == {"status": "ready", "reasons": [], "degraded": []}
        text = api.get("/metrics").text
        assert 'quarry_memory_watermark{device="cpu",mark="low"} 1.0' in text
        assert 'quarry_memory_watermark{device="cpu",mark="high"} 0.0' in text
        assert api.get(f"{DOCUMENTS}/late").status_code == 404
        scripted_memory.shares["cpu"] = 0.5
        assert until(api, "clear")["supervision"]["bulk_work"] == "running"
        assert put(api, "after").status_code == 201
        url = f"/v1/jobs/{job.json()['job_id']}"
        while api.get(url).json()["status"] in {"queued", "running"}:
            pass
        listed = {item["id"] for item in api.get(DOCUMENTS).json()["data"]}
        assert listed == {"before", "late", "after"}


def test_a_write_that_waits_goes_on_when_there_is_memory_again(
    open_api: OpenApi, scripted_memory: Memory, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_hold, "_BRIEF_WAIT_S", PATIENCE_S)
    with open_api(memory=scripted_memory) as api:
        scripted_memory.shares["cpu"] = 0.92
        until(api, "low")
        writing = threads.submit(put, api, "waiting")
        for _ in range(5):
            assert api.post("/v1/search", json={"query": "moss", "collection": "default"}).status_code in {200, 404}
        assert not writing.done()
        scripted_memory.shares["cpu"] = 0.5
        assert writing.result(PATIENCE_S).status_code == 201
        assert api.get(f"{DOCUMENTS}/waiting").status_code == 200


@pytest.mark.parametrize("path", ["/brief", ":batch"])
def test_a_body_is_not_waited_with_for_long(
    open_api: OpenApi, scripted_memory: Memory, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(bulk_hold, "_BRIEF_WAIT_S", 0.0)
    with open_api(memory=scripted_memory) as api:
        scripted_memory.shares["cpu"] = 0.92
        until(api, "low")
        method, headers = ("POST", {"content-type": "application/x-ndjson"}) if path == ":batch" else ("PUT", {})
        body = json.dumps({"text": "Ivy climbs."} | ({"id": "brief"} if path == ":batch" else {}))
        reply = api.request(
            method, f"{DOCUMENTS}{path}", content=body, headers={"content-type": "application/json"} | headers
        )
        assert reply.status_code == 503
        waited = re.search(r"it waited ([\d.e-]+) s", reply.text)
        assert waited is not None
        assert float(waited[1]) < 30  # and not for the 60 s of a step


class Held:
    """A parser that waits for the test.

    Attributes:
        begun: released for each file that it begins.
    """

    def __init__(self) -> None:
        self.begun, self.gate = threading.Semaphore(0), threading.Semaphore(0)

    async def parse(self, name: str, raw: Path) -> LoadedText:
        self.begun.release()
        assert await asyncio.to_thread(self.gate.acquire, timeout=PATIENCE_S)
        return await asyncio.to_thread(lambda: load_file(name, raw.read_bytes()))


@pytest.mark.usefixtures("impatient")
def test_a_job_outlasts_any_number_of_times_without_memory(
    open_api: OpenApi, scripted_memory: Memory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refusals() -> int:
        return sum(record.message == "job waits" for record in caplog.records)

    monkeypatch.setattr(runner, "_FIRST_PAUSE_S", 0.001)
    parser = Held()
    with open_api(memory=scripted_memory, parser=parser, jobs={"patience_s": 1e-6}) as api:
        files = {"file": ("late.txt", b"Ivy climbs.")}
        told = ""
        job = api.put(f"{DOCUMENTS}/late", files=files, params={"wait_ms": 0}).json()["job_id"]
        for attempt in (1, 2, 3):
            assert parser.begun.acquire(timeout=PATIENCE_S)
            scripted_memory.shares["cpu"] = 0.92  # between reading and embedding
            until(api, "low")
            parser.gate.release()
            # Refused at the gate, it is to be tried again.
            while refusals() < attempt and (told := api.get(f"/v1/jobs/{job}").json()["status"]) != "failed":
                pass
            assert told != "failed"
            scripted_memory.shares["cpu"] = 0.5
            until(api, "clear")
        assert parser.begun.acquire(timeout=PATIENCE_S)
        parser.gate.release()
        assert api.get(f"/v1/jobs/{job}", params={"wait_ms": 60_000}).json()["status"] == "succeeded"
        assert api.get(f"{DOCUMENTS}/late").status_code == 200


@pytest.mark.usefixtures("impatient")
def test_above_the_high_mark_whoever_comes_alone_is_answered_still(open_api: OpenApi, scripted_memory: Memory) -> None:
    with open_api(memory=scripted_memory) as api:
        assert put(api, "before").status_code == 201
        scripted_memory.shares["cpu"] = 0.97
        until(api, "high")
        assert api.post("/v1/search", json={"query": "moss"}).json()["chunks"]
        assert api.get("/readyz").status_code == 200


@pytest.mark.usefixtures("impatient")
def test_the_marks_are_settings_and_can_be_turned_off(open_api: OpenApi, scripted_memory: Memory) -> None:
    scripted_memory.shares["cpu"] = 1.0
    with open_api(memory=scripted_memory, limits={"memory_low": 1, "memory_high": 1}) as api:
        while not api.get("/v1/status").json()["memory"]["devices"]:
            pass
        assert put(api, "before").status_code == 201
    with open_api(memory=scripted_memory, limits={"memory_low": 0.2, "memory_high": 0.3}) as api:
        until(api, "high")
    with (
        pytest.raises(ValueError, match=r"memory_low 0\.5 must not be above memory_high 0\.4"),
        open_api(limits={"memory_low": 0.5, "memory_high": 0.4}),
    ):
        pass
