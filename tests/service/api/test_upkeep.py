"""What an operator asks of an index: rebuild, calibrate, verify, purge."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from indexes import purge as purging
from indexes import upkeep as upkeeping
from indexes.erasure import Finding, search_files
from indexes.errors import ErasureError, InsufficientMemoryError, StoreUnavailableError
from indexes.local_collection import LocalCollection
from indexes.upkeep import Upkeep
from models.hashing import HashingEmbedder
from models.transformer import TransformerEmbedder

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Sealed = Callable[[httpx.Client], None]

PATIENCE_S = 200.0
DOCS = "/v1/collections/docs"
ROWS = 300
CONFIDED = "the patient in bed nine was seen by Dr. Adler on Tuesday"


@pytest.fixture
def api(open_api: OpenApi) -> Iterator[httpx.Client]:
    with open_api(index={"seal_rows": 256, "shadow_share": 1.0}) as client:
        yield client


def fill(api: httpx.Client, rows: int = ROWS) -> None:
    lines = [f'{{"id": "d{i}", "text": "Bees of hive {i} make honey {i * 7}."}}' for i in range(rows)]
    headers = {"content-type": "application/x-ndjson"}
    sent = api.post(f"{DOCS}/documents:batch", content="\n".join(lines), headers=headers)
    assert sent.text.count('"created"') == rows, sent.text


def put(api: httpx.Client, document_id: str, text: str, **more: object) -> None:
    assert api.put(f"{DOCS}/documents/{document_id}", json={"text": text, **more}).is_success


def found(api: httpx.Client, query: str) -> list[str]:
    reply = api.post("/v1/search", json={"query": query, "collection": "docs", "top_k": 3})
    assert reply.is_success, reply.text
    return [chunk["text"] for chunk in reply.json()["chunks"]]


def places(data_dir: Path, text: str) -> tuple[Finding, ...]:
    """Where the bytes stand in any file below the directory."""
    return search_files(data_dir / "collections", [text.encode()]).found


# Rebuild and calibrate


def test_a_rebuild_seals_saves_and_forgets_dead_rows(api: httpx.Client) -> None:
    fill(api)
    api.delete(f"{DOCS}/documents/d0")
    reply = api.post(f"{DOCS}:rebuild")
    assert reply.status_code == 200
    index = reply.json()["index"]
    assert reply.json() | {"index": None} == api.get(DOCS).json() | {"index": None}
    assert [(part["index"], part["rows"]) for part in index["segments"]] == [("ivf_pq", ROWS - 1), ("flat", 0)]
    assert index["segments"][0]["curve"]["chosen"]["recall"] == index["segments"][0]["expected_recall"]
    assert (index["dead_rows"], index["trouble"], index["working_on"]) == (0, [], None)
    assert index["snapshot"]["name"].count("-") == 1
    assert 0 <= index["snapshot"]["age_s"] < PATIENCE_S
    assert index["bytes"] > (ROWS - 1) * 64 * 4
    assert found(api, "bees of hive 12")[0].startswith("Bees of hive 12 ")


def test_a_small_collection_is_rebuilt_without_an_index(api: httpx.Client) -> None:
    put(api, "a", "Bees.")
    index = api.post(f"{DOCS}:rebuild").json()["index"]
    assert (index["snapshot"], index["recall"]["recall"], index["recall"]["searches"]) == (None, None, 0)
    assert [part["tier"] for part in index["segments"]] == ["growing: exact below 256 rows"]


def test_calibrating_measures_the_curve_and_searches_by_it(api: httpx.Client, sealed: Sealed) -> None:
    fill(api)
    sealed(api)
    before = api.get(DOCS).json()["index"]["snapshot"]["name"]
    reply = api.post(f"{DOCS}:calibrate")
    assert reply.status_code == 200, reply.text
    curve = reply.json()
    assert set(curve) == {"target_recall", "meets_target", "chosen", "queries", "points"}
    assert curve["target_recall"] == 0.99
    assert curve["chosen"] in curve["points"]
    costs, recalls = ([point[name] for point in curve["points"]] for name in ("cost", "recall"))
    assert costs == sorted(set(costs))
    assert recalls == sorted(set(recalls))
    assert curve["queries"] > 0
    index = api.get(DOCS).json()["index"]
    used = index["segments"][0]
    assert {name: used[name] for name in ("nprobe", "refine")} == {
        name: curve["chosen"][name] for name in ("nprobe", "refine")
    }
    assert index["snapshot"]["name"] > before  # the choice outlives a restart


def test_there_is_nothing_to_calibrate_before_rows_are_sealed(api: httpx.Client, problem: Problem) -> None:
    put(api, "a", "Bees.")
    said = problem(api.post(f"{DOCS}:calibrate"), 409, "conflict")
    assert said["detail"].startswith("0 rows of collection 'docs' are in the compressed index, ")


def test_too_little_memory_for_a_rebuild_says_how_much(
    api: httpx.Client, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(api, 3)
    monkeypatch.setattr(upkeeping, "available_bytes", lambda: 100)
    said = problem(api.post(f"{DOCS}:rebuild"), 503, "insufficient_memory")
    assert "a rebuild of 3 rows needs" in said["detail"]
    assert "100 are free" in said["detail"]
    assert len(found(api, "bees")) == 3


def test_one_job_for_a_collection_at_a_time(
    api: httpx.Client, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()

    def held(self: Upkeep, reason: str = "") -> None:
        begun.set()
        assert go.wait(PATIENCE_S)

    monkeypatch.setattr(Upkeep, "rebuild", held)
    put(api, "a", "Bees sleep.")
    api.put("/v1/aliases/again", json={"collection": "docs"})
    api.put("/v1/collections/other")
    with ThreadPoolExecutor(1) as threads:
        rebuilding = threads.submit(api.post, f"{DOCS}:rebuild")
        assert begun.wait(PATIENCE_S)
        for name in ("docs:rebuild", "docs:verify", "docs:purge", "docs:calibrate", "again:verify"):
            refused = api.post(f"/v1/collections/{name}")
            assert "is being rebuilt" in problem(refused, 409, "conflict")["detail"]
        assert found(api, "bees") == ["Bees sleep."]
        assert api.post("/v1/collections/other:verify").status_code == 200
        go.set()
        assert rebuilding.result(PATIENCE_S).status_code == 200
    assert api.post(f"{DOCS}:verify").status_code == 200


def test_a_job_that_fails_lets_the_next_one_begin(
    api: httpx.Client, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InsufficientMemoryError("too little")

    put(api, "a", "Bees sleep.")
    with monkeypatch.context() as patched:
        patched.setattr(Upkeep, "rebuild", refuse)
        problem(api.post(f"{DOCS}:rebuild"), 503, "insufficient_memory")
    assert api.post(f"{DOCS}:rebuild").status_code == 200


def test_the_status_says_how_far_a_rebuild_is(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(api)
    read, go = threading.Event(), threading.Event()

    def held(*arguments: Any) -> Any:  # noqa: ANN401
        read.set()
        assert go.wait(PATIENCE_S)
        return train(*arguments)

    train = upkeeping.train_for
    monkeypatch.setattr(upkeeping, "train_for", held)
    with ThreadPoolExecutor(1) as threads:
        rebuilding = threads.submit(api.post, f"{DOCS}:rebuild")
        assert read.wait(PATIENCE_S)
        working_on = api.get("/v1/status").json()["collections"]["docs"]["working_on"]
        go.set()
        assert rebuilding.result(PATIENCE_S).status_code == 200
    assert working_on in (
        {"what": "rebuilding: asked for", "done": ROWS, "total": ROWS},
        {"what": f"sealing {ROWS} rows", "done": 0, "total": 0},  # maintenance came first
    )


@pytest.mark.parametrize("action", ["rebuild", "calibrate", "verify"])
def test_what_takes_no_fields_refuses_them(api: httpx.Client, problem: Problem, action: str) -> None:
    put(api, "a", "Bees.")
    assert problem(api.post(f"{DOCS}:{action}", json={"x": 1}), 422, "invalid_request")["error"]["param"] == "x"
    problem(
        api.post(f"{DOCS}:{action}", content="{", headers={"content-type": "application/json"}), 400, "invalid_request"
    )
    problem(api.post(f"{DOCS}:{action}", content="x=1"), 415, "unsupported_media_type")
    assert api.post(f"{DOCS}:{action}", json={}).status_code == api.post(f"{DOCS}:{action}").status_code


# Verify


def test_a_sound_collection_has_no_problems(api: httpx.Client, sealed: Sealed) -> None:
    fill(api)
    sealed(api)
    put(api, "later", "Wasps.")
    version = api.get(DOCS).json()["index_version"]
    reply = api.post(f"{DOCS}:verify").json()
    assert reply == {"index_version": version, "rows": ROWS + 1, "vectors": ROWS + 1, "problems": []}


def test_what_is_damaged_is_said(api: httpx.Client, sealed: Sealed, tmp_path: Path) -> None:
    fill(api)
    sealed(api)
    index, *_ = (tmp_path / "data" / "collections").rglob("index.faiss")
    index.write_bytes(bytes([index.read_bytes()[0] ^ 1]) + index.read_bytes()[1:])
    (said,) = api.post(f"{DOCS}:verify").json()["problems"]
    assert "index.faiss is damaged" in said
    assert api.post(f"{DOCS}:rebuild").status_code == 200


# Purge


def test_what_is_purged_is_in_no_file(api: httpx.Client, sealed: Sealed, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    fill(api)
    put(api, "chart", CONFIDED, title="Chart of bed nine", metadata={"ward": "sleepless nights"})
    sealed(api)
    put(api, "note", f"{CONFIDED} afternoon", metadata={"ward": "sleepless nights"})
    put(api, "kept", "The wards are cleaned at night.")
    assert places(data_dir, CONFIDED)
    reply = api.post(
        f"{DOCS}:purge",
        json={"ids": ["chart", "absent"], "filters": {"type": "eq", "key": "ward", "value": "sleepless nights"}},
    )
    assert reply.status_code == 200, reply.text
    said = reply.json()
    assert (said["deleted"], said["proof"]["found"], said["proof"]["shared"]) == (2, 0, 0)
    assert said["proof"]["needles"] >= 4
    assert said["proof"]["bytes"] > 0
    for text in (CONFIDED, "Chart of bed nine", "sleepless nights"):
        assert places(data_dir, text) == ()
    state = api.get(DOCS).json()
    assert said["index_version"] == state["index_version"]
    assert (state["index"]["dead_rows"], state["documents"]) == (0, ROWS + 1)
    assert api.post(f"{DOCS}:verify").json()["problems"] == []
    assert not any(text.startswith(CONFIDED) for text in found(api, CONFIDED))
    assert places(data_dir, "The wards are cleaned at night.")
    put(api, "after", "Writes go on.")
    assert len(list((data_dir / "collections").rglob("index.faiss"))) == 1


def test_a_purge_of_nothing_removes_what_was_deleted_before(api: httpx.Client, tmp_path: Path) -> None:
    put(api, "a", CONFIDED)
    api.delete(f"{DOCS}/documents/a")
    assert places(tmp_path / "data", CONFIDED)
    for sent in (api.post(f"{DOCS}:purge"), api.post(f"{DOCS}:purge", json={})):
        assert (sent.json()["deleted"], sent.json()["proof"]["found"]) == (0, 0)
        assert places(tmp_path / "data", CONFIDED) == ()
    assert sent.json()["proof"]["needles"] == 0


def test_an_id_stays_in_the_log_and_is_no_finding(api: httpx.Client, tmp_path: Path) -> None:
    put(api, "reports%2Fannual-figures", "Numbers.", title="annual-figures")
    reply = api.post(f"{DOCS}:purge", json={"ids": ["reports/annual-figures"]}).json()
    assert (reply["deleted"], reply["proof"]["found"], reply["proof"]["shared"]) == (1, 0, 1)
    assert places(tmp_path / "data", "reports/annual-figures")


def test_what_is_found_after_all_is_an_error(
    api: httpx.Client, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(api, "a", CONFIDED)
    with monkeypatch.context() as patched:
        patched.setattr(purging, "erase", lambda *_: None)
        said = problem(api.post(f"{DOCS}:purge", json={"ids": ["a"]}), 503, "vector_store_unavailable")
    assert "samples of what was purged are still in the files, as in store.db" in said["detail"]
    assert found(api, CONFIDED) == []
    assert api.post(f"{DOCS}:purge").json()["proof"]["found"] == 0


@pytest.mark.parametrize("step", ["erase", "_rebuild", "_save", "remove_older", "prove_erased"])
def test_a_purge_that_is_cut_short_leaves_a_valid_collection(
    open_api: OpenApi, problem: Problem, sealed: Sealed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, step: str
) -> None:
    def cut(*_: object) -> None:
        raise ErasureError("cut short")

    with open_api(index={"seal_rows": 256}) as api:
        fill(api)
        put(api, "a", CONFIDED)
        sealed(api)
        with monkeypatch.context() as patched:
            where: Any = purging if step in {"erase", "prove_erased"} else Upkeep
            if step == "remove_older":
                patched.setattr("indexes.snapshot.Snapshots.remove_older", cut)
            else:
                patched.setattr(where, step, cut)
            problem(api.post(f"{DOCS}:purge", json={"ids": ["a"]}), 503, "vector_store_unavailable")
            assert CONFIDED not in found(api, CONFIDED)
    with open_api(index={"seal_rows": 256}) as api:
        assert api.post(f"{DOCS}:verify").json()["problems"] == []
        assert CONFIDED not in found(api, CONFIDED)
        assert api.post(f"{DOCS}:purge").json()["proof"]["found"] == 0
        assert places(tmp_path / "data", CONFIDED) == ()
        assert api.get(DOCS).json()["documents"] == ROWS


def test_a_document_that_is_put_again_meanwhile_stays(
    api: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Between the look at what passes and its deletion it gets other metadata."""
    put(api, "a", CONFIDED, metadata={"ward": 9})
    needles = LocalCollection.needles

    def put_again(self: LocalCollection, ids: list[str]) -> list[bytes]:
        samples = needles(self, ids)
        put(api, "a", "Discharged.", metadata={"ward": 1})
        return samples

    monkeypatch.setattr(LocalCollection, "needles", put_again)
    reply = api.post(f"{DOCS}:purge", json={"filters": {"type": "eq", "key": "ward", "value": 9}})
    assert reply.json()["deleted"] == 0
    assert found(api, "discharged") == ["Discharged."]
    assert places(tmp_path / "data", CONFIDED) == ()


def test_a_mirror_is_purged_too(
    open_api: OpenApi, scripted: type[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    narrow = scripted(HashingEmbedder(32), name="narrow")
    monkeypatch.setattr(TransformerEmbedder, "load", lambda *_, **__: narrow)
    with open_api(embedding={"also": ["narrow"]}) as api:
        put(api, "a", CONFIDED, metadata={"ward": 9})
        put(api, "b", "Bees sleep.")
        api.post(f"{DOCS}:reembed", json={"embedding_model": "narrow"})
        while api.get(DOCS).json()["reembedding"]["state"] != "switched":
            pass
        assert len({place.file for place in places(tmp_path / "data", CONFIDED)}) >= 2
        reply = api.post(f"{DOCS}:purge", json={"filters": {"type": "eq", "key": "ward", "value": 9}}).json()
        assert (reply["deleted"], reply["proof"]["found"]) == (1, 0)
        assert reply["proof"]["files"] >= 2
        assert places(tmp_path / "data", CONFIDED) == ()
        api.post(f"{DOCS}:reembed", json={"action": "rollback"})
        assert found(api, CONFIDED) == ["Bees sleep."]


def test_a_mirror_that_cannot_be_written_to_fails_the_purge(
    open_api: OpenApi, scripted: type[Any], problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = scripted(HashingEmbedder(32), name="narrow")
    monkeypatch.setattr(TransformerEmbedder, "load", lambda *_, **__: narrow)
    delete = LocalCollection.delete

    def refuse(self: LocalCollection, document_id: str, *others: Any) -> object:  # noqa: ANN401
        if self.spec.embedding_model != "narrow":
            raise StoreUnavailableError("the disk is full")
        return delete(self, document_id, *others)

    with open_api(embedding={"also": ["narrow"]}) as api:
        put(api, "a", CONFIDED)
        api.post(f"{DOCS}:reembed", json={"embedding_model": "narrow"})
        while api.get(DOCS).json()["reembedding"]["state"] != "switched":
            pass
        with monkeypatch.context() as patched:
            patched.setattr(LocalCollection, "delete", refuse)
            refused = api.post(f"{DOCS}:purge", json={"ids": ["a"]})
        assert "the disk is full" in problem(refused, 503, "vector_store_unavailable")["detail"]


# Bad input


@pytest.mark.parametrize("action", ["rebuild", "calibrate", "verify", "purge"])
def test_an_unknown_collection_and_an_alias(api: httpx.Client, problem: Problem, sealed: Sealed, action: str) -> None:
    problem(api.post(f"/v1/collections/absent:{action}"), 404, "not_found")
    fill(api, 256)
    sealed(api)
    api.put("/v1/aliases/again", json={"collection": "docs"})
    assert api.post(f"/v1/collections/again:{action}").status_code == 200
    problem(api.get(f"/v1/collections/docs:{action}"), 404, "not_found")


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"id": "a"}, 422, "id"),
        ({"ids": "a"}, 422, "ids"),
        ({"ids": [1]}, 422, "ids.0"),
        ({"ids": ["x"] * 10_001}, 422, "ids"),
        ({"ids": [""]}, 400, None),
        ({"filters": []}, 422, "filters"),
        ({"filters": {"type": "near", "key": "a", "value": 1}}, 422, "filters"),
        ({"filters": {}}, 422, "filters"),
    ],
)
def test_a_purge_that_is_not_understood_deletes_nothing(
    api: httpx.Client, problem: Problem, body: dict[str, object], status: int, param: str | None
) -> None:
    put(api, "a", "Bees.")
    assert problem(api.post(f"{DOCS}:purge", json=body), status, "invalid_request")["error"]["param"] == param
    assert api.get(DOCS).json()["documents"] == 1
    problem(api.post(f"{DOCS}:purge", content=b"{}"), 415, "unsupported_media_type")
