"""Jobs over HTTP: what waits, what is durable, what wins, what is left behind."""

import asyncio
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.hashing import HashingEmbedder
from scripted_memory import ScriptedMemory
from service.app import Outside, create_app
from service.errors import ParserLostError, ParserUnavailableError, UnreadableDocumentError
from service.ingest.jobs import runner
from service.ingest.loaders import LoadedText, load_file
from service.settings import Settings

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
DOCUMENTS = "/v1/collections/docs/documents"
PATIENCE_S = 60.0
PATIENCE_MS = 60_000
FOLDER = range(5000)
LARGE = 1 << 18
FORM_HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'


class GatedParser:
    """A ``Parser`` in this process that waits at a gate, and fails when told to.

    Attributes:
        parsed: names, as often as they were tried.
        failures: what the next tries raise.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.parsed: list[str] = []
        self.failures: list[Exception] = []

    async def parse(self, name: str, raw: Path) -> LoadedText:
        self.parsed.append(name)
        while not self.gate.is_set():  # noqa: ASYNC110  opened by another thread
            await asyncio.sleep(0.005)  # cancellable, as a child that is killed
        if self.failures:
            raise self.failures.pop(0)
        return await asyncio.to_thread(lambda: load_file(name, raw.read_bytes()))


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch) -> GatedParser:
    gated = GatedParser()
    monkeypatch.setattr(runner, "_FIRST_PAUSE_S", 0.001)  # what is tried again is, at once
    return gated


@pytest.fixture
def api(parser: GatedParser, open_api: OpenApi) -> Iterator[httpx.Client]:
    with open_api(parser=parser) as client:
        yield client
        parser.gate.set()


def put(api: httpx.Client, id_: str, text: str = "Some words.", **params: object) -> httpx.Response:
    return api.put(f"{DOCUMENTS}/{id_}", files={"file": (f"{id_}.txt", text.encode())}, params=params)


def ended(api: httpx.Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = api.get(f"/v1/jobs/{job_id}", params={"wait_ms": PATIENCE_MS}).json()
    assert job["status"] in {"succeeded", "failed", "cancelled"}, job
    return job


def text_of(api: httpx.Client, id_: str) -> str | None:
    reply = api.get(f"{DOCUMENTS}/{id_}")
    return reply.json()["text"] if reply.status_code == 200 else None


def raw_files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "data" / "jobs" / "raw").iterdir())


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_file_that_is_searchable_in_time_is_answered_as_ever(api: httpx.Client, tmp_path: Path) -> None:
    created, updated = put(api, "a").json(), put(api, "a", "Other words.").json()
    assert [created["status"], updated["status"]] == ["created", "updated"]
    job = ended(api, created["job_id"])
    assert (job["status"], job["done"], job["total"], job["outcomes"]) == ("succeeded", 1, 1, {"created": 1})
    assert job["document_id"] == "a"
    assert job["kind"] == "file"
    assert job["finished_at"] >= job["created_at"]
    assert raw_files(tmp_path) == []


def test_a_file_that_takes_longer_is_accepted(api: httpx.Client, parser: GatedParser, tmp_path: Path) -> None:
    parser.gate.clear()
    reply = put(api, "a", wait_ms=0)
    assert reply.status_code == 202
    assert reply.json() == {"id": "a", "status": "accepted", "job_id": reply.json()["job_id"]}
    assert raw_files(tmp_path) == [reply.json()["job_id"]]
    seen = api.get(f"/v1/jobs/{reply.json()['job_id']}").json()
    assert seen["status"] in {"queued", "running"}
    assert api.get("/v1/status").json()["jobs"]["raw_bytes"] == len("Some words.")
    assert "quarry_jobs_raw_bytes 11.0" in api.get("/metrics").text
    parser.gate.set()
    assert ended(api, reply.json()["job_id"])["status"] == "succeeded"
    assert text_of(api, "a") == "Some words."
    assert 'quarry_jobs_ended_total{kind="file",status="succeeded"} 1.0' in api.get("/metrics").text


def test_a_refused_file_is_that_error_and_a_failed_job(
    api: httpx.Client, parser: GatedParser, problem: Problem, tmp_path: Path
) -> None:
    parser.failures.append(UnreadableDocumentError("it is encrypted"))
    assert problem(put(api, "a"), 422, "invalid_request")["detail"] == "it is encrypted"
    problem(api.put(f"{DOCUMENTS}/a", files={"file": ("a.exe", b"x")}), 415, "unsupported_media_type")
    problem(put(api, "a", " "), 400, "empty_document")
    jobs = api.get("/v1/jobs").json()["data"]
    assert [job["status"] for job in jobs] == ["succeeded", "failed", "failed"]
    assert [job["outcomes"] for job in jobs] == [{"skipped": 1}, {"failed": 1}, {"failed": 1}]
    assert [job["errors"][0]["code"] for job in jobs] == ["empty_document", "unsupported_media_type", "invalid_request"]
    assert raw_files(tmp_path) == []


def test_what_passes_is_tried_again(api: httpx.Client, parser: GatedParser) -> None:
    parser.failures += [ParserUnavailableError("no child"), ParserUnavailableError("no child")]
    assert put(api, "a", wait_ms=PATIENCE_MS).json()["status"] == "created"
    assert len(parser.parsed) == 3


def test_a_file_whose_parsers_are_lost_is_given_up(api: httpx.Client, parser: GatedParser, problem: Problem) -> None:
    parser.failures += [ParserLostError("killed"), ParserUnavailableError("no child"), ParserLostError("killed")]
    assert put(api, "a", wait_ms=PATIENCE_MS).json()["status"] == "created"
    parser.parsed.clear()
    parser.failures += [ParserLostError("killed by SIGKILL") for _ in range(4)]
    detail = problem(put(api, "b", wait_ms=PATIENCE_MS), 422, "job_input_damaged")["detail"]
    assert detail == "killed by SIGKILL, the last of 3; jobs.attempts is 3"
    assert parser.parsed == ["b.txt"] * 3
    parser.failures.clear()


def test_an_unforeseen_error_ends_one_job(api: httpx.Client, parser: GatedParser) -> None:
    parser.failures.append(ZeroDivisionError("secret"))
    parser.gate.clear()  # a job that has failed before the reply is written is that error, whatever was to be waited
    job_id = put(api, "a", wait_ms=0).json()["job_id"]
    parser.gate.set()
    job = ended(api, job_id)
    assert job["status"] == "failed"
    assert "secret" not in json.dumps(job)
    assert put(api, "a").json()["status"] == "created"


@pytest.mark.parametrize("wait_ms", ["-1", "600001", "soon"])
def test_a_wait_has_bounds(api: httpx.Client, problem: Problem, wait_ms: str) -> None:
    problem(put(api, "a", wait_ms=wait_ms), 422, "invalid_request")
    problem(api.get("/v1/jobs/x", params={"wait_ms": wait_ms}), 422, "invalid_request")


def test_json_waits_only_when_it_says_so(api: httpx.Client) -> None:
    assert "job_id" not in api.put(f"{DOCUMENTS}/a", json={"text": "Some\r\nwords."}).json()
    reply = api.put(f"{DOCUMENTS}/b", json={"text": "Some\r\nwords."}, params={"wait_ms": PATIENCE_MS}).json()
    assert ended(api, reply["job_id"])["kind"] == "text"
    assert text_of(api, "b") == "Some\r\nwords."


def test_a_job_that_waits_can_be_cancelled(api: httpx.Client, parser: GatedParser, problem: Problem) -> None:
    parser.gate.clear()
    jobs = [put(api, str(number), wait_ms=0).json()["job_id"] for number in range(12)]
    for job in (jobs[0], jobs[-1]):  # one that runs, one that waits for its turn
        assert api.delete(f"/v1/jobs/{job}").json()["status"] == "cancelled"
        assert api.delete(f"/v1/jobs/{job}").json()["status"] == "cancelled"
    parser.gate.set()
    assert {ended(api, job)["status"] for job in jobs[1:-1]} == {"succeeded"}
    assert text_of(api, "0") is text_of(api, "11") is None
    assert api.delete(f"/v1/jobs/{jobs[1]}").json()["status"] == "succeeded"
    problem(api.delete("/v1/jobs/none"), 404, "not_found")
    problem(api.get("/v1/jobs/%00"), 404, "not_found")


def test_a_later_write_wins_whatever_ends_first(api: httpx.Client, parser: GatedParser) -> None:
    parser.gate.clear()
    jobs = [put(api, id_, "From the job.", wait_ms=0).json()["job_id"] for id_ in ("put", "deleted", "filtered")]
    api.put(f"{DOCUMENTS}/put", json={"text": "Later."})
    api.delete(f"{DOCUMENTS}/deleted")
    nothing = {"type": "ne", "key": "k", "value": 1}
    api.put(f"{DOCUMENTS}/filtered", json={"text": "Later."})
    assert api.post(f"{DOCUMENTS}:delete", json={"filters": nothing}).json()["deleted"] == 2
    parser.gate.set()
    assert [ended(api, job)["outcomes"] for job in jobs] == [{"superseded": 1}] * 3
    assert [text_of(api, id_) for id_ in ("put", "deleted", "filtered")] == [None] * 3


def test_jobs_are_taken_up_in_their_order(parser: GatedParser, open_api: OpenApi, tmp_path: Path) -> None:
    parser.gate.clear()
    with open_api(parser=parser) as api:
        jobs = [put(api, "a", text, wait_ms=0).json()["job_id"] for text in ("First.", "Second.")]
        jobs.append(put(api, "b", "First.", wait_ms=0).json()["job_id"])
        api.delete(f"{DOCUMENTS}/b")
        api.put(f"{DOCUMENTS}/c", json={"text": "Words."})
        jobs.append(put(api, "d", "First.", wait_ms=0).json()["job_id"])  # nothing on the disk has a higher number
    (tmp_path / "data" / "jobs" / "raw" / "orphan").write_bytes(b"x")
    with open_api(parser=parser) as api:
        for id_ in "db":
            api.put(f"{DOCUMENTS}/{id_}", json={"text": "Last."})
        parser.gate.set()
        assert {ended(api, job)["status"] for job in jobs} == {"succeeded"}
        assert [text_of(api, id_) for id_ in "abcd"] == ["Second.", "Last.", "Words.", "Last."]
    assert raw_files(tmp_path) == []


def test_damage_costs_its_jobs_and_nothing_else(parser: GatedParser, open_api: OpenApi, tmp_path: Path) -> None:
    parser.gate.clear()
    with open_api(parser=parser) as api:
        jobs = [put(api, id_, wait_ms=0).json()["job_id"] for id_ in "abcd"]
    raw = tmp_path / "data" / "jobs" / "raw"
    (raw / jobs[0]).write_bytes(b"Same length")
    (raw / jobs[1]).unlink()
    with closing(sqlite3.connect(tmp_path / "data" / "jobs" / "jobs.db")) as database:
        database.execute("UPDATE jobs SET ask = 'garbage' WHERE id = ?", (jobs[2],))
        database.commit()
    parser.gate.set()
    with open_api(parser=parser) as api:
        found = [ended(api, job) for job in jobs]
        assert [job["status"] for job in found] == ["failed", "failed", "failed", "succeeded"]
        assert found[0]["errors"][0]["code"] == "job_input_damaged"
    assert raw_files(tmp_path) == []
    (tmp_path / "data" / "jobs" / "jobs.db").write_bytes(b"no database at all" * 1000)
    with open_api(parser=parser) as api:
        assert api.get("/v1/jobs").json()["data"] == []
        assert put(api, "e").json()["status"] == "created"


def test_a_job_that_kills_the_process_is_given_up(parser: GatedParser, open_api: OpenApi, tmp_path: Path) -> None:
    parser.gate.clear()
    with open_api(parser=parser) as api:
        killer, other = (put(api, id_, wait_ms=0).json()["job_id"] for id_ in "ab")
    with closing(sqlite3.connect(tmp_path / "data" / "jobs" / "jobs.db")) as database:
        database.execute("UPDATE jobs SET attempts = 3 WHERE id = ?", (killer,))
        database.execute("UPDATE jobs SET attempts = 2 WHERE id = ?", (other,))
        database.commit()
    parser.gate.set()
    with open_api(parser=parser) as api:
        assert "3 times" in ended(api, killer)["errors"][0]["message"]
        assert ended(api, other)["status"] == "succeeded"


def test_jobs_of_a_deleted_collection_fail(api: httpx.Client, parser: GatedParser, tmp_path: Path) -> None:
    parser.gate.clear()
    jobs = [put(api, str(number), wait_ms=0).json()["job_id"] for number in range(12)]
    assert api.delete("/v1/collections/docs").status_code == 200
    api.put(f"{DOCUMENTS}/new", json={"text": "Words."})
    assert {ended(api, job)["errors"][0]["code"] for job in jobs} == {"not_found"}
    assert raw_files(tmp_path) == []
    parser.gate.set()
    assert [entry["id"] for entry in api.get(DOCUMENTS).json()["data"]] == ["new"]


def test_a_batch_as_a_job(api: httpx.Client, problem: Problem) -> None:
    lines = [
        {"id": "a", "text": "First."},
        {"id": "b", "text": "Words."},
        "",
        {"id": "a", "text": "Last."},
        {"id": "c", "text": " "},
        {"id": "d", "text": 5},
    ]
    content = "\n".join(json.dumps(line) if line else "" for line in lines)
    reply = api.post(f"{DOCUMENTS}:batch", content=content, params={"wait_ms": PATIENCE_MS})
    assert reply.status_code == 202
    assert reply.json() == {"job_id": reply.json()["job_id"], "total": 5, "status": "failed"}
    job = ended(api, reply.json()["job_id"])
    assert job["outcomes"] == {"created": 2, "superseded": 1, "skipped": 1, "failed": 1}
    assert [(error["line"], error["id"], error["code"]) for error in job["errors"]] == [
        (5, "c", "empty_document"),
        (6, "d", "invalid_request"),
    ]
    assert [text_of(api, id_) for id_ in "ab"] == ["Last.", "Words."]
    many = "\n".join('{"id": "x", "text": "y"}' for _ in range(1001))
    problem(api.post(f"{DOCUMENTS}:batch", content=many, params={"wait_ms": 0}), 400, "invalid_request")


def test_pages_of_jobs(api: httpx.Client) -> None:
    jobs = [put(api, str(number)).json()["job_id"] for number in range(5)]
    first = api.get("/v1/jobs", params={"limit": 3}).json()
    second = api.get("/v1/jobs", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["data"] + second["data"]] == jobs[::-1]
    assert second["next_cursor"] is None
    assert api.get("/v1/jobs", params={"collection": "other"}).json()["data"] == []
    assert len(api.get("/v1/jobs", params={"status": "succeeded"}).json()["data"]) == 5


def test_jobs_are_forgotten(parser: GatedParser, open_api: OpenApi, problem: Problem) -> None:
    with open_api(parser=parser, jobs={"keep_ended": 1}) as api:
        jobs = [put(api, str(number)).json()["job_id"] for number in range(3)]
    with open_api(parser=parser, jobs={"keep_ended": 1}) as api:
        until(lambda: len(api.get("/v1/jobs").json()["data"]) == 1)
        problem(api.get(f"/v1/jobs/{jobs[0]}"), 404, "not_found")


def test_the_queue_has_bounds(parser: GatedParser, open_api: OpenApi, problem: Problem, tmp_path: Path) -> None:
    with open_api(parser=parser, jobs={"max_open": 1, "max_open_bytes": 1024}) as api:
        assert "max_open_bytes" in problem(put(api, "a", "x " * 1000), 503, "overloaded")["detail"]
        parser.gate.clear()
        put(api, "a", wait_ms=0)
        assert "max_open is 1" in problem(put(api, "b"), 503, "overloaded")["detail"]
        assert len(raw_files(tmp_path)) == 1
        parser.gate.set()


class LargeWait(GatedParser):
    """Only manuals wait at the gate."""

    async def parse(self, name: str, raw: Path) -> LoadedText:
        if name.startswith("manual"):
            return await super().parse(name, raw)
        return await asyncio.to_thread(lambda: load_file(name, raw.read_bytes()))


def test_large_files_keep_nobody_from_the_last_places(parser: GatedParser, open_api: OpenApi) -> None:
    gated = LargeWait()
    with open_api(parser=gated) as api:
        gated.gate.clear()
        large = [put(api, f"manual-{n}", "word " * LARGE, wait_ms=0).json()["job_id"] for n in range(10)]
        until(lambda: len(gated.parsed) == 6)
        assert put(api, "lease", wait_ms=PATIENCE_MS).json()["status"] == "created"
        assert api.put(f"{DOCUMENTS}/memo", json={"text": "Some words."}).status_code == 201
        statuses = [api.get(f"/v1/jobs/{job}").json()["status"] for job in large]
        assert statuses == 6 * ["running"] + 4 * ["queued"]
        for job in large:
            api.delete(f"/v1/jobs/{job}")
        gated.gate.set()


@pytest.mark.parametrize(
    ("method", "path", "type_", "begin"),
    [
        ("PUT", f"{DOCUMENTS}/a", "multipart/form-data; boundary=b", FORM_HEAD),
        ("POST", f"{DOCUMENTS}:batch?wait_ms=0", "application/x-ndjson", b""),
    ],
)
def test_an_upload_counts_while_it_arrives(
    listening: Callable[..., str], tmp_path: Path, method: str, path: str, type_: str, begin: bytes
) -> None:
    address = httpx.URL(listening(jobs={"max_open_bytes": 2 << 20}))
    raw = tmp_path / "served" / "jobs" / "raw"
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {type_}\r\nContent-Length: {1 << 24}\r\n\r\n"
    with (
        httpx.Client(base_url=address) as api,
        socket.create_connection((address.host, address.port or 0), timeout=PATIENCE_S) as connection,
    ):
        assert put(api, "b").status_code == 201
        connection.sendall(head.encode() + begin + b"x" * ((2 << 20) - 1000))
        until(lambda: put(api, "b", " " * 4000).status_code == 503)
        connection.close()
        until(lambda: put(api, "b", " " * 4000).status_code == 400)  # it is read, and empty
        until(lambda: list(raw.iterdir()) == [])


def test_an_upload_ends_as_soon_as_it_is_too_much(listening: Callable[..., str], tmp_path: Path) -> None:
    address = httpx.URL(listening(jobs={"max_open_bytes": 1024}))
    head = f"PUT {DOCUMENTS}/a HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
    with socket.create_connection((address.host, address.port or 0), timeout=PATIENCE_S) as connection:
        connection.sendall(f"{head}Content-Length: {1 << 24}\r\n\r\n".encode() + FORM_HEAD + b"x" * (1 << 20))
        assert connection.recv(1000).startswith(b"HTTP/1.1 503 ")
    assert list((tmp_path / "served" / "jobs" / "raw").iterdir()) == []


def test_nothing_is_left_of_what_a_full_disk_refuses(
    api: httpx.Client, problem: Problem, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    api.put("/v1/collections/docs", json={})
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise OSError(28, "No space left on device")

        patch.setattr("service.ingest.jobs.raw_inputs.sync", refuse)
        assert "No space left" in problem(put(api, "a"), 503, "vector_store_unavailable")["detail"]
    assert raw_files(tmp_path) == []
    assert api.get("/v1/jobs").json()["data"] == []
    assert put(api, "a").json()["status"] == "created"


def test_a_purge_ends_the_jobs_of_what_it_removes(
    api: httpx.Client, parser: GatedParser, problem: Problem, tmp_path: Path
) -> None:
    put(api, "a", "Confidential marmalade recipe number one.")
    parser.gate.clear()
    doomed = put(api, "a", "Confidential marmalade recipe number two.", wait_ms=0).json()["job_id"]
    batch = api.post(f"{DOCUMENTS}:batch", content='{"id": "x", "text": "Words."}', params={"wait_ms": 0})
    ended(api, batch.json()["job_id"])
    assert api.post("/v1/collections/docs:purge", json={"ids": ["a"]}).status_code == 200
    problem(api.get(f"/v1/jobs/{doomed}"), 404, "not_found")
    parser.gate.set()
    assert text_of(api, "a") is None
    for path in (tmp_path / "data" / "jobs").rglob("*"):
        assert not path.is_file() or b"marmalade" not in path.read_bytes()


def test_a_purge_refuses_while_a_batch_may_hold_what_is_to_go(
    parser: GatedParser, open_api: OpenApi, problem: Problem
) -> None:
    embedder = Gated()
    with open_api(parser=parser, embedder=embedder) as api:
        api.put(f"{DOCUMENTS}/a", json={"text": "Words."})
        embedder.gate.clear()
        batch = api.post(f"{DOCUMENTS}:batch", content='{"id": "a", "text": "Other words."}', params={"wait_ms": 0})
        job = batch.json()["job_id"]
        assert job in problem(api.post("/v1/collections/docs:purge", json={"ids": ["a"]}), 409, "conflict")["detail"]
        assert text_of(api, "a") == "Words."
        embedder.gate.set()
        ended(api, job)
        assert api.post("/v1/collections/docs:purge", json={"ids": ["a"]}).json()["deleted"] == 1


class Gated(HashingEmbedder):
    """Its forwards wait at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.gate.set()

    def launch(self, batch: Any) -> Any:  # noqa: ANN401
        assert self.gate.wait(PATIENCE_S)
        return super().launch(batch)


def test_a_cancelled_batch_keeps_what_it_has_written(parser: GatedParser, open_api: OpenApi) -> None:
    embedder = Gated()
    with open_api(parser=parser, embedder=embedder) as api:
        api.put(f"{DOCUMENTS}/0", json={"text": "Words 0."})
        embedder.gate.clear()
        lines = "\n".join(json.dumps({"id": str(n), "text": f"Words {n}."}) for n in range(100))
        job = api.post(f"{DOCUMENTS}:batch", content=lines, params={"wait_ms": 0}).json()["job_id"]
        until(lambda: api.get(f"/v1/jobs/{job}").json()["done"] == 1)
        cancelled = api.delete(f"/v1/jobs/{job}").json()
        embedder.gate.set()
        assert (cancelled["status"], cancelled["outcomes"]) == ("cancelled", {"unchanged": 1})
        assert len(api.get(DOCUMENTS).json()["data"]) == 1


def test_a_job_says_how_many_of_its_texts_are_embedded(parser: GatedParser, open_api: OpenApi) -> None:
    embedder = Gated()
    with open_api(parser=parser, embedder=embedder) as api:
        api.put(f"{DOCUMENTS}/0", json={"text": "Words 0."})
        embedder.gate.clear()
        job = put(api, "a", "\n\n".join(f"Paragraph {n} of words." for n in range(500)), wait_ms=0).json()["job_id"]
        until(lambda: api.get(f"/v1/jobs/{job}").json()["texts"] is not None)
        (listed,) = [each for each in api.get("/v1/jobs").json()["data"] if each["id"] == job]
        assert (listed["status"], listed["embedded"]) == ("running", 0)
        assert listed["texts"] > 500, "chunks and sentences"
        embedder.gate.set()
        assert ended(api, job)["texts"] is None, "it is over"


class Counting(HashingEmbedder):
    """Counts what it embeds."""

    embedded = 0

    def launch(self, batch: Any) -> Any:  # noqa: ANN401
        self.embedded += len(batch)
        return super().launch(batch)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_folder_of_5000_files_is_embedded_once(parser: GatedParser, open_api: OpenApi) -> None:
    embedder = Counting()

    def ingested(api: httpx.Client) -> set[str]:
        with ThreadPoolExecutor(8) as threads:
            return set(threads.map(lambda number: put(api, str(number), f"Words {number}.").json()["status"], FOLDER))

    with open_api(parser=parser, embedder=embedder) as api:
        before = embedder.embedded  # of which the device was measured at the start
        assert ingested(api) == {"created"}
        embedded = embedder.embedded
        assert embedded == before + len(FOLDER)
        assert ingested(api) == {"unchanged"}
        assert (embedder.embedded, len(parser.parsed)) == (embedded, len(FOLDER))


def test_files_that_are_ingested_again_are_neither_read_nor_embedded(parser: GatedParser, open_api: OpenApi) -> None:
    embedder = Counting()
    with open_api(parser=parser, embedder=embedder) as api:
        for number in range(20):
            assert put(api, str(number), f"Words {number}.").json()["status"] == "created"
        embedded, read = embedder.embedded, len(parser.parsed)
        again = [put(api, str(number), f"Words {number}.").json() for number in range(20)]
        assert {reply["status"] for reply in again} == {"unchanged"}
        assert (embedder.embedded, len(parser.parsed)) == (embedded, read)
        api.put(f"{DOCUMENTS}/0", json={"text": "Something else."})
        assert put(api, "0", "Words 0.").json()["status"] == "updated"


def test_a_drain_waits_for_no_job(parser: GatedParser, tmp_path: Path) -> None:
    async def scenario() -> httpx.Response:
        outside = Outside(HashingEmbedder(), parser=parser, memory=ScriptedMemory())
        app = create_app(Settings(data_dir=tmp_path / "data"), outside)
        transport = httpx.ASGITransport(app)
        async with app.router.lifespan_context(app), httpx.AsyncClient(transport=transport) as client:
            files, params = {"file": ("a.txt", b"Some words.")}, {"wait_ms": 10 * PATIENCE_MS}
            waiting = asyncio.create_task(client.put(f"http://localhost{DOCUMENTS}/a", files=files, params=params))
            while not parser.parsed:  # noqa: ASYNC110  the parser has no event to wait for
                await asyncio.sleep(0.005)
            assert await app.state.drain.run(PATIENCE_S) == 0, "cut"
            return await waiting

    parser.gate.clear()
    reply = asyncio.run(scenario())
    assert (reply.status_code, reply.json()["status"]) == (202, "accepted")
    assert raw_files(tmp_path) == [reply.json()["job_id"]]
