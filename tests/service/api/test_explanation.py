"""Searches that are asked how they were made."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import orjson
import pytest

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

ROWS = 300
VECTORS = {"enabled": False}
SEARCH = {"query": "honey bees of hive 7", "collection": "docs", "explain": True, "top_k": 2, "hybrid": VECTORS}


def fill(api: httpx.Client) -> None:
    lines = [
        f'{{"id": "d{i}", "text": "Bees of hive {i} make honey {i * 7}.", "metadata": {{"digit": {i % 10}}}}}'
        for i in range(ROWS)
    ]
    headers = {"content-type": "application/x-ndjson"}
    sent = api.post("/v1/collections/docs/documents:batch", content="\n".join(lines), headers=headers)
    assert sent.text.count('"created"') == ROWS, sent.text


def explained(api: httpx.Client, **body: object) -> dict[str, Any]:
    reply = api.post("/v1/search", json=SEARCH | body)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()["explain"]
    return told


def reasons(told: dict[str, Any]) -> set[str]:
    return {dropped["reason"] for dropped in told["dropped"]}


def test_a_growing_collection_is_searched_exactly(api: httpx.Client) -> None:
    api.put("/v1/collections/docs", json={"chunking": {"size": 16, "overlap": 0}})
    api.put("/v1/collections/docs/documents/a", json={"text": "Bees make honey of hive 7. " * 8})
    told = explained(api)
    rows = api.get("/v1/collections/docs").json()["chunks"]
    assert rows > 2
    kept = {"index_version": 1, "sealed_rows": 0, "tail_rows": rows, "index_calls": 1, "fetched": 6, "plan": None}
    assert {name: told[name] for name in kept} == kept
    assert told["refine"] is None
    assert [dropped["reason"] for dropped in told["dropped"]] == ["outranked"] * (min(rows, 6) - 2)


def test_a_chunk_that_only_its_neighbour_pushed_out_is_repeated(api: httpx.Client) -> None:
    api.put("/v1/collections/docs", json={"chunking": {"size": 16, "overlap": 0}})
    api.put("/v1/collections/docs/documents/a", json={"text": "Honey bees of hive 7. " * 12})
    api.put("/v1/collections/docs/documents/b", json={"text": "Honey bees of hive 7 sleep."})
    found = api.post("/v1/search", json=SEARCH).json()
    assert {chunk["document_id"] for chunk in found["chunks"]} == {"a", "b"}
    repeated = [dropped for dropped in found["explain"]["dropped"] if dropped["reason"] == "repeated"]
    assert [dropped["chunk_id"].split("#")[0] for dropped in repeated] == ["a"]
    assert repeated[0]["score"] >= min(chunk["scores"]["vector"] for chunk in found["chunks"])


def test_sealed_rows_say_their_plan_and_what_they_dropped(open_api: OpenApi, sealed: Callable[..., None]) -> None:
    with open_api(index={"seal_rows": 256, "nprobe": 4, "refine": 20}) as api:
        fill(api)
        sealed(api)
        told = explained(api)
        assert (told["sealed_rows"] + told["tail_rows"], told["fetched"]) == (ROWS, 6)
        assert told["index_calls"] == 1 + bool(told["tail_rows"])
        assert told["plan"] == {"way": "lists", "nprobe": 4, "candidates": 120, "selectivity": 1.0}
        assert told["refine"] == 20
        assert reasons(told) == {"outranked"}
        best = api.post("/v1/search", json=SEARCH).json()["chunks"][0]
        api.delete(f"/v1/collections/docs/documents/{best['document_id']}")
        assert "threshold" in reasons(explained(api, score_threshold=0.999))
        told = explained(api, filters={"type": "ne", "key": "digit", "value": 7})
        assert told["plan"]["selectivity"] == pytest.approx(0.9, abs=0.01)
        assert told["plan"]["way"] == "lists"
        assert told["filtered"] > 0
        assert told["dropped"]
        assert not any(dropped["chunk_id"].endswith("7#0") for dropped in told["dropped"])
        told = explained(api)
        assert (told["deleted"], told["filtered"]) == (1, 0)
        assert best["id"] not in {dropped["chunk_id"] for dropped in told["dropped"]}


def test_questions_and_streams_explain_too(api: httpx.Client) -> None:
    api.put("/v1/collections/docs/documents/a", json={"text": "Bees make honey of hive 7."})
    assert api.post("/v1/query", json=SEARCH).json()["explain"]["tail_rows"] == 1
    assert api.post("/v1/query", json=SEARCH | {"explain": False}).json()["explain"] is None
    opening = api.post("/v1/query", json=SEARCH | {"stream": True}).text.split("\n")[1].removeprefix("data: ")
    assert orjson.loads(opening)["explain"]["index_version"] == 1


def test_explain_is_a_boolean(api: httpx.Client, problem: Problem) -> None:
    refused = problem(api.post("/v1/search", json=SEARCH | {"explain": "yes"}), 422, "invalid_request")
    assert refused["error"]["param"] == "explain"
