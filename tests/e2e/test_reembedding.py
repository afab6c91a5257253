"""A live collection gets another embedding model, under load and under kill -9."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

pytestmark = pytest.mark.slow

Server = tuple[subprocess.Popen[bytes], httpx.Client]

DOCUMENTS = 300
COLLECTION = "/v1/collections/items"
PATIENCE_S = 500.0
PLACES = ("basement", "roof", "north wing", "boiler room", "workshop", "harbour", "tunnel", "control room")


@dataclass
class Load:
    """Searches and writes that go on until they are told to stop.

    Attributes:
        present: documents that were acknowledged and whose deletion was not begun: every search has to find them.
    """

    http: httpx.Client
    present: set[str]
    over: threading.Event = field(default_factory=threading.Event)
    searches: int = 0
    writes: int = 0

    def search(self) -> None:
        while not self.over.is_set():
            before = set(self.present)
            found = searched(self.http)
            assert found >= before & self.present  # an id that is discarded never comes back
            self.searches += 1

    def write(self) -> None:
        """Puts a document, and deletes the one from five before."""
        while not self.over.is_set():
            old = f"w{self.writes - 5}"
            self.put(f"w{self.writes}")
            if old in self.present:
                self.present.discard(old)
                assert self.http.delete(f"{COLLECTION}/documents/{old}").json()["deleted"] == 1
            self.writes += 1

    def put(self, document_id: str) -> None:
        reply = self.http.put(f"{COLLECTION}/documents/{document_id}", json={"text": f"{document_id} is written."})
        assert reply.status_code == 201, reply.text
        self.present.add(document_id)

    def goes_on(self) -> None:
        """Some more of each, so that no phase is over before it was looked at."""
        searches, writes = self.searches, self.writes
        wait_until(lambda: self.over.is_set() or (self.searches > searches + 1 and self.writes > writes + 5))


@contextmanager
def under_load(http: httpx.Client, present: set[str]) -> Iterator[Load]:
    load = Load(http, present)

    def ended(job: Future[None]) -> None:
        load.over.set()

    with ThreadPoolExecutor(3) as threads:
        jobs = [threads.submit(work) for work in (load.search, load.search, load.write)]
        for job in jobs:
            job.add_done_callback(ended)
        try:
            yield load
        finally:
            load.over.set()
        for job in jobs:
            job.result(PATIENCE_S)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def searched(http: httpx.Client) -> set[str]:
    """Documents of every chunk there is."""
    body = {"query": "Which pump is in the basement?", "collection": "items", "top_k": 1000}
    reply = http.post("/v1/search", json=body)
    assert reply.status_code == 200, reply.text
    return {chunk["document_id"] for chunk in reply.json()["chunks"]}


def listed(http: httpx.Client) -> set[str]:
    page = http.get(f"{COLLECTION}/documents", params={"limit": 1000}).json()
    return {entry["id"] for entry in page["data"]}


def act(http: httpx.Client, **body: object) -> None:
    reply = http.post(f"{COLLECTION}:reembed", json=body)
    assert reply.is_success, reply.text


def reembedding(http: httpx.Client) -> dict[str, Any]:
    state: dict[str, Any] = http.get(COLLECTION).json()["reembedding"]
    return state


def until(http: httpx.Client, state: str) -> None:
    wait_until(lambda: reembedding(http)["state"] == state)


def model(http: httpx.Client) -> str:
    return str(http.get(COLLECTION).json()["embedding_model"])


@pytest.fixture
def serve_both(serve: Callable[..., Server], tmp_path: Path, tiny_embedder: Path) -> Callable[[], Server]:
    """A server of both embedders on this test's data directory."""
    return lambda: serve(tmp_path / "data", QUARRY_EMBEDDING__ALSO=json.dumps([str(tiny_embedder)]))


@pytest.mark.timeout(1200)
def test_searches_find_everything_through_a_switch_a_rollback_and_a_kill(serve_both: Callable[[], Server]) -> None:
    process, http = serve_both()
    texts = {f"d{number}": f"Pump {number} is in the {PLACES[number % 8]}." for number in range(DOCUMENTS)}
    lines = "\n".join(json.dumps({"id": document_id, "text": text}) for document_id, text in texts.items())
    replies = http.post(f"{COLLECTION}/documents:batch", content=lines).text.splitlines()
    assert [json.loads(reply)["status"] for reply in replies] == ["created"] * DOCUMENTS

    with under_load(http, set(texts)) as load:
        load.goes_on()
        act(http, embedding_model="tiny-embedder")
        load.goes_on()
        until(http, "switched")
        assert model(http) == "tiny-embedder"
        load.goes_on()
        act(http, action="rollback")
        until(http, "rolled_back")
        assert model(http) == "all-MiniLM-L6-v2"
        load.goes_on()
        act(http)
        until(http, "switched")
        load.goes_on()
        act(http, action="finish")
        load.goes_on()
    print(f"{load.searches} searches, {load.writes} writes")  # noqa: T201  shows that there was a load
    assert model(http) == "tiny-embedder"
    assert searched(http) == listed(http) == load.present

    act(http, embedding_model="all-MiniLM-L6-v2")
    wait_until(lambda: 0 < reembedding(http)["done"] < reembedding(http)["total"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    _, http = serve_both()
    until(http, "switched")
    assert model(http) == "all-MiniLM-L6-v2"
    assert searched(http) == listed(http) == load.present
    act(http, action="finish")
    assert reembedding(http) is None
