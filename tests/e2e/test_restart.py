"""Two lives of one data directory: killed after an acknowledgement, then served again by IVF-PQ."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.slow

Server = tuple[subprocess.Popen[bytes], httpx.Client]

SEED = 20
ITEMS = 640
# Above 256, the number of centroids of a code: below, the codes would be exact and the refine step idle.
SEAL_ROWS = 300
# The faster precision is chosen at each start; here scores of two lives are compared.
PRECISION = {"QUARRY_EMBEDDING__DTYPE": "float32"}
TOP_K = 10
SEALED_WITHIN_S = 60.0
KEPT = {"text": "The observatory on the hill opens its dome on the first clear night of every month."}
DELETED = {"text": "The ferry to the island leaves the eastern pier at a quarter past seven."}

SUBJECTS = ("pump", "valve", "turbine", "sensor", "relay", "filter", "bearing", "compressor", "gauge", "coupling")
PLACES = ("basement", "roof", "north wing", "boiler room", "workshop", "harbour", "tunnel", "control room")
ACTIONS = ("is cleaned", "is inspected", "is replaced", "is lubricated", "is calibrated", "is sealed", "is painted")


@dataclass(frozen=True, slots=True)
class FirstLife:
    """What the exact server said before it was killed."""

    data_dir: Path
    queries: list[str]
    results: list[dict[str, float]]
    ferry_before: list[str]
    ferry_after: list[str]


def generated() -> list[str]:
    print(f"seed {SEED}")  # noqa: T201  names the data of a failure
    rng = random.Random(SEED)  # noqa: S311
    return [
        f"Item {number}: the {rng.choice(SUBJECTS)} in the {rng.choice(PLACES)} {rng.choice(ACTIONS)} "
        f"every {rng.randint(2, 400)} days by team {rng.randint(1, 90)}."
        for number in range(ITEMS)
    ]


def found(http: httpx.Client, query: str, collection: str = "items") -> list[str]:
    return list(scored(http, query, collection))


def scored(http: httpx.Client, query: str, collection: str = "items") -> dict[str, float]:
    """Scores by document, best first."""
    body = {"query": query, "collection": collection, "top_k": TOP_K}
    response = http.post("/v1/search", json=body)
    assert response.status_code == 200, response.text
    return {chunk["document_id"]: chunk["score"] for chunk in response.json()["chunks"]}


def ingest(http: httpx.Client, texts: list[str]) -> None:
    lines = "\n".join(json.dumps({"id": f"item-{number}", "text": text}) for number, text in enumerate(texts))
    response = http.post("/v1/collections/items/documents:batch", content=lines)
    assert [json.loads(line)["status"] for line in response.text.splitlines()] == ["created"] * len(texts)


@pytest.fixture(scope="module")
def first_life(serve_module: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory) -> FirstLife:
    data_dir = tmp_path_factory.mktemp("lives") / "data"
    process, http = serve_module(data_dir, **PRECISION)
    texts = generated()
    ingest(http, texts)
    queries = texts[::16]
    results = [scored(http, query) for query in queries]
    http.put("/v1/collections/facts/documents/ferry", json=DELETED)
    ferry_before = found(http, DELETED["text"], "facts")
    assert http.delete("/v1/collections/facts/documents/ferry").json()["deleted"] == 1
    ferry_after = found(http, DELETED["text"], "facts")
    assert http.put("/v1/collections/facts/documents/dome", json=KEPT).status_code == 201
    process.send_signal(signal.SIGKILL)
    process.wait()
    return FirstLife(data_dir, queries, results, ferry_before, ferry_after)


@pytest.fixture(scope="module")
def second_life(serve_module: Callable[..., Server], first_life: FirstLife) -> Server:
    return serve_module(first_life.data_dir, QUARRY_INDEX__SEAL_ROWS=str(SEAL_ROWS), **PRECISION)


def segments(http: httpx.Client) -> list[str]:
    state = http.get("/v1/status").json()["collections"]["items"]
    return [segment["index"] for segment in state["segments"]]


@pytest.fixture(scope="module")
def sealed(second_life: Server) -> httpx.Client:
    """The second server, once its full tail is sealed: that happens in the background."""
    _, http = second_life
    give_up = time.monotonic() + SEALED_WITHIN_S
    while "ivf_pq" not in segments(http):
        assert time.monotonic() < give_up, segments(http)
        time.sleep(0.05)
    return http


def test_an_acknowledged_document_survives_kill_9(second_life: Server) -> None:
    _, http = second_life
    assert http.get("/v1/collections/facts/documents/dome").json()["text"] == KEPT["text"]
    reply = http.post("/v1/query", json={"query": "When does the observatory open?", "collection": "facts"}).json()
    assert reply["status"] == "ok"
    assert reply["citations"][0]["quote"] == KEPT["text"]


def test_a_deleted_document_stays_deleted(first_life: FirstLife, second_life: Server) -> None:
    assert first_life.ferry_before == ["ferry"]
    assert first_life.ferry_after == []
    _, http = second_life
    assert found(http, DELETED["text"], "facts") == ["dome"]
    assert http.get("/v1/collections/facts/documents/ferry").status_code == 404


def test_status_shows_ivf_pq_serving(sealed: httpx.Client) -> None:
    assert segments(sealed) == ["ivf_pq", "flat"]
    state = sealed.get("/v1/status").json()["collections"]["items"]
    assert state["seal_rows"] == SEAL_ROWS
    assert sum(segment["live_rows"] for segment in state["segments"]) == state["chunks"] == ITEMS


def test_ivf_pq_agrees_with_the_exact_server(first_life: FirstLife, sealed: httpx.Client) -> None:
    results = [scored(sealed, query) for query in first_life.queries]
    assert [next(iter(result)) for result in results] == [f"item-{number}" for number in range(0, ITEMS, 16)]
    pairs = list(zip(results, first_life.results, strict=True))
    overlaps = [len(mine.keys() & exact.keys()) for mine, exact in pairs]
    assert sum(overlaps) / len(overlaps) >= 0.9 * TOP_K
    for mine, exact in pairs:
        shared = mine.keys() & exact.keys()
        assert {item: mine[item] for item in shared} == pytest.approx({item: exact[item] for item in shared}, abs=1e-4)


def test_a_delete_reaches_sealed_segments(sealed: httpx.Client, first_life: FirstLife) -> None:
    assert found(sealed, first_life.queries[1])[0] == "item-16"
    sealed.delete("/v1/collections/items/documents/item-16")
    result = found(sealed, first_life.queries[1])
    assert "item-16" not in result
    assert len(result) == TOP_K


def test_sigterm_ends_the_server_in_order(sealed: httpx.Client, second_life: Server) -> None:
    process, _ = second_life
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=200) == 0
    with pytest.raises(httpx.ConnectError):
        sealed.get("/healthz")
