"""POST /v1/collections/{c}:reembed."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import httpx
import pytest

from indexes.errors import StoreUnavailableError
from models.hashing import HashingEmbedder
from models.transformer import TransformerEmbedder

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

PATIENCE_S = 200.0
REEMBED = "/v1/collections/docs:reembed"
NARROW = {"embedding_model": "narrow", "chunking": {"size": 32, "overlap": 4}}
ALSO = {"also": ["narrow"]}


@pytest.fixture
def wide(scripted: type[Any]) -> Any:  # noqa: ANN401
    return scripted(HashingEmbedder(), name="wide")


@pytest.fixture
def narrow(scripted: type[Any], monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """What `embedding.also` loads, whatever it names."""
    embedder = scripted(HashingEmbedder(32), name="narrow")
    monkeypatch.setattr(TransformerEmbedder, "load", lambda *_, **__: embedder)
    return embedder


@pytest.fixture
def api(open_api: OpenApi, wide: Any, narrow: Any) -> Iterator[httpx.Client]:  # noqa: ANN401
    """Both embedders, and ten documents in `docs`."""
    with open_api(wide, embedding=ALSO) as client:
        for number in range(10):
            put(client, f"d{number}", f"Bees number n{number} sleep.")
        yield client


def put(api: httpx.Client, document_id: str, text: str) -> None:
    assert api.put(f"/v1/collections/docs/documents/{document_id}", json={"text": text}).is_success


def found(api: httpx.Client, query: str = "bees", collection: str = "docs") -> set[str]:
    reply = api.post("/v1/search", json={"query": query, "collection": collection, "top_k": 100})
    assert reply.status_code == 200, reply.text
    return {chunk["document_id"] for chunk in reply.json()["chunks"]}


def acted(api: httpx.Client, **body: object) -> dict[str, Any]:
    """The reembedding after an action that was taken."""
    reply = api.post(REEMBED, json=body)
    assert reply.is_success, reply.text
    state: dict[str, Any] = reply.json()
    return state


def until(api: httpx.Client, state: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while (collection := api.get("/v1/collections/docs").json())["reembedding"]["state"] != state:
        assert time.monotonic() < deadline, collection
    return dict(collection)


def test_the_states_of_a_reembedding(api: httpx.Client, narrow: Any) -> None:  # noqa: ANN401
    narrow.tokenizing.clear()
    started = api.post(REEMBED, json=NARROW)
    assert started.status_code == 202
    assert started.json()["embedding_model"] == "wide"
    target = {"embedding_model": "narrow", "dimension": 32, "chunking": {"size": 32, "overlap": 4}}
    state = started.json()["reembedding"]
    assert (state["state"], state["target"], state["done"], state["error"]) == ("building", target, 0, None)
    narrow.tokenizing.set()
    switched = until(api, "switched")
    assert switched["reembedding"] == {"state": "switched", "target": target, "done": 10, "total": 10, "error": None}
    assert {name: switched[name] for name in target} == target
    assert api.get("/v1/status").json()["collections"]["docs"]["reembedding"]["state"] == "switched"
    assert len(found(api)) == 10
    back = api.post(REEMBED, json={"action": "rollback"})
    assert (back.status_code, back.json()["embedding_model"]) == (200, "wide")
    assert back.json()["reembedding"] == switched["reembedding"] | {"state": "rolled_back"}
    assert acted(api)["reembedding"]["target"] == target
    until(api, "switched")
    finished = api.post(REEMBED, json={"action": "finish"})
    assert (finished.status_code, finished.json()["reembedding"]) == (200, None)
    assert finished.json()["embedding_model"] == "narrow"
    assert len(found(api)) == 10
    assert api.get("/v1/status").json()["collections"]["docs"]["reembedding"] is None


def test_what_is_left_out_stays(api: httpx.Client) -> None:
    assert acted(api, embedding_model="narrow")["reembedding"]["target"]["chunking"] == {"size": 100, "overlap": 20}
    until(api, "switched")
    acted(api, action="finish")
    target = acted(api, chunking={"overlap": 7})["reembedding"]["target"]
    assert (target["embedding_model"], target["chunking"]) == ("narrow", {"size": 100, "overlap": 7})


def test_the_language_stays(open_api: OpenApi, wide: Any, narrow: Any) -> None:  # noqa: ANN401
    with open_api(wide, embedding=ALSO, retrieval={"language": "sv"}) as api:
        put(api, "a", "Bin sover.")
    with open_api(wide, embedding=ALSO) as api:
        acted(api, embedding_model="narrow")
        assert until(api, "switched")["language"] == "sv"


def test_behind_an_alias(api: httpx.Client) -> None:
    api.put("/v1/aliases/live", json={"collection": "docs"})
    assert api.post("/v1/collections/live:reembed", json=NARROW).json()["name"] == "docs"
    until(api, "switched")
    assert api.get("/v1/collections/live").json()["embedding_model"] == "narrow"
    assert len(found(api, collection="live")) == 10


def test_searches_never_fail_and_never_miss_what_is_in(api: httpx.Client) -> None:
    over, everything = threading.Event(), {f"d{number}" for number in range(10)}

    def search() -> int:
        count = 0
        while not over.is_set():
            assert found(api) >= everything
            count += 1
        return count

    with ThreadPoolExecutor(3) as threads, ExitStack() as stack:
        stack.callback(over.set)
        searching = [threads.submit(search) for _ in range(3)]
        for round_ in range(3):
            acted(api, embedding_model="narrow" if round_ % 2 == 0 else "wide")
            put(api, f"w{round_}", "Bees of the building.")
            until(api, "switched")
            acted(api, action="rollback")
            put(api, f"r{round_}", "Bees of the way back.")
            acted(api)
            until(api, "switched")
            acted(api, action="finish")
        over.set()
        assert all(job.result(PATIENCE_S) > 0 for job in searching)
    assert found(api) == everything | {f"{kind}{round_}" for kind in "wr" for round_ in range(3)}


def test_a_search_that_is_under_way_when_its_collection_goes(api: httpx.Client, wide: Any) -> None:  # noqa: ANN401
    acted(api, **NARROW)
    until(api, "switched")
    acted(api, action="rollback")
    wide.gate.clear()
    while wide._entered.acquire(blocking=False):
        pass
    with ThreadPoolExecutor(1) as threads:
        searching = threads.submit(found, api, "bees that sleep")
        asyncio.run(wide.entered())
        acted(api)
        until(api, "switched")
        acted(api, action="finish")
        wide.gate.set()
        assert len(searching.result(PATIENCE_S)) == 10


def test_a_store_that_fails_is_not_asked_for_ever(
    api: httpx.Client, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise StoreUnavailableError("the disk is gone")

    monkeypatch.setattr("indexes.local_collection.LocalCollection.searched", failing)
    monkeypatch.setattr("indexes.local_collection.LocalCollection.document", failing)
    for sent in (
        api.post("/v1/search", json={"query": "bees", "collection": "docs"}),
        api.get("/v1/collections/docs/documents/d0"),
    ):
        assert problem(sent, 503, "vector_store_unavailable")["detail"] == "the disk is gone"


def test_it_goes_on_after_a_restart(open_api: OpenApi, wide: Any, narrow: Any) -> None:  # noqa: ANN401
    with open_api(wide, embedding=ALSO) as api:
        for number in range(10):
            put(api, f"d{number}", f"Bees number n{number} sleep.")
        narrow.tokenizing.clear()
        acted(api, **NARROW)
        asyncio.run(narrow.begun())
        threading.Timer(0, narrow.tokenizing.set).start()
    with open_api(wide, embedding=ALSO) as api:
        assert until(api, "switched")["embedding_model"] == "narrow"
        assert len(found(api)) == 10


def test_without_its_embedder_it_waits_and_says_so(open_api: OpenApi, wide: Any, narrow: Any) -> None:  # noqa: ANN401
    with open_api(wide, embedding=ALSO) as api:
        put(api, "a", "Bees sleep.")
        narrow.failures.extend([RuntimeError("burp")] * 1000)
        acted(api, **NARROW)
    narrow.failures.clear()
    with open_api(wide) as api:
        deadline = time.monotonic() + PATIENCE_S
        while "embedding.also" not in str(api.get("/v1/collections/docs").json()["reembedding"]["error"]):
            assert time.monotonic() < deadline
        put(api, "b", "More bees.")
        assert found(api) == {"a", "b"}
    with open_api(wide, embedding=ALSO) as api:
        until(api, "switched")
        assert found(api) == {"a", "b"}


def test_what_is_refused(api: httpx.Client, problem: Problem) -> None:
    absent = api.post("/v1/collections/absent:reembed", json=NARROW)
    problem(absent, 404, "not_found")
    unknown = problem(api.post(REEMBED, json={"embedding_model": "bert"}), 400, "invalid_request")
    assert "embedding.also" in unknown["detail"]
    assert unknown["error"]["param"] == "embedding_model"
    assert "is already as asked" in problem(api.post(REEMBED), 409, "conflict")["detail"]
    problem(api.post(REEMBED, json={"embedding_model": "wide"}), 409, "conflict")
    problem(api.post(REEMBED, json={"chunking": {"size": 20, "overlap": 20}}), 400, "invalid_request")
    for body in ({"model": "narrow"}, {"action": "stop"}, {"chunking": {"length": 20}}):
        problem(api.post(REEMBED, json=body), 422, "invalid_request")
    sent = problem(api.post(REEMBED, json=NARROW | {"action": "finish"}), 400, "invalid_request")
    assert sent["error"]["param"] == "action"
    for action in ("rollback", "finish"):
        problem(api.post(REEMBED, json={"action": action}), 409, "conflict")
    acted(api, **NARROW)
    problem(api.post(REEMBED, json=NARROW), 409, "conflict")


def test_a_collection_of_an_embedder_that_is_not_served(open_api: OpenApi, wide: Any, problem: Problem) -> None:  # noqa: ANN401
    with open_api(HashingEmbedder(16)) as api:
        put(api, "a", "Bees sleep.")
    with open_api(wide) as api:
        sent = api.post(REEMBED, json={"embedding_model": "wide"})
        assert "this server runs 'wide'" in problem(sent, 409, "conflict")["detail"]
