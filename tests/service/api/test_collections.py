"""Create, look at, list, delete."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from models.hashing import HashingEmbedder

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
DEFAULT = {
    "name": "docs",
    "embedding_model": "hashing",
    "dimension": 64,
    "metric": "cosine",
    "target_recall": 0.99,
    "language": "en",
    "chunking": {"size": 100, "overlap": 20},
    "llm": None,
    "min_confidence": None,
    "documents": 0,
    "chunks": 0,
    "index_version": 0,
    "reembedding": None,
}


def identity(reply: httpx.Response) -> dict[str, Any]:
    """The collection without its index, which tests/service/api/test_upkeep.py looks at."""
    collection: dict[str, Any] = reply.json()
    assert collection.pop("index")["segments"]
    return collection


def test_a_collection_with_defaults(api: httpx.Client) -> None:
    created = api.put("/v1/collections/docs")
    assert (created.status_code, identity(created)) == (201, DEFAULT)
    assert api.put("/v1/collections/docs", json={}).status_code == 200
    assert identity(api.get("/v1/collections/docs")) == DEFAULT


def test_a_collection_keeps_its_chunking_whatever_the_server_is_set_to(open_api: OpenApi) -> None:
    def chunks(api: httpx.Client, collection: str, document: str) -> int:
        """In all, once it is there."""
        sent = {"text": "One two three four five. " * 10}
        assert api.put(f"/v1/collections/{collection}/documents/{document}", json=sent).status_code == 201
        count: int = api.get(f"/v1/collections/{collection}").json()["chunks"]
        return count

    with open_api(chunking={"size": 16, "overlap": 0}) as api:
        assert chunks(api, "docs", "a") == 4
    with open_api(chunking={"size": 40, "overlap": 0}) as api:
        assert chunks(api, "docs", "b") == 8
        assert chunks(api, "fresh", "a") == 2
        assert api.put("/v1/collections/docs").json()["chunking"] == {"size": 16, "overlap": 0}


def test_extent_follows_the_documents(api: httpx.Client) -> None:
    api.put("/v1/collections/docs", json={"chunking": {"size": 16, "overlap": 0}})
    api.put("/v1/collections/docs/documents/a", json={"text": "One two three four five. " * 10})
    state = api.get("/v1/collections/docs").json()
    assert (state["documents"], state["index_version"]) == (1, 1)
    assert state["chunks"] == 4


def test_another_identity_is_a_conflict(api: httpx.Client, problem: Problem) -> None:
    api.put("/v1/collections/docs", json={"chunking": {"size": 50, "overlap": 5}})
    assert api.put("/v1/collections/docs", json={"chunking": {"size": 50, "overlap": 5}}).status_code == 200
    sent = api.put("/v1/collections/docs", json={"chunking": {"size": 60, "overlap": 5}})
    assert "chunking.size is 50, not 60" in problem(sent, 409, "conflict")["detail"]
    assert sent.headers["x-should-retry"] == "false"


def test_no_options_match_any_collection(api: httpx.Client) -> None:
    api.put("/v1/collections/docs", json={"chunking": {"size": 50, "overlap": 5}})
    confirmed = api.put("/v1/collections/docs", json={})
    assert (confirmed.status_code, confirmed.json()["chunking"]) == (200, {"size": 50, "overlap": 5})


def test_the_list_is_sorted(api: httpx.Client) -> None:
    for name in ("beta", "Alpha", "alpha"):
        api.put(f"/v1/collections/{name}")
    assert [entry["name"] for entry in api.get("/v1/collections").json()["data"]] == ["Alpha", "alpha", "beta"]


def test_a_deleted_name_is_free_again(api: httpx.Client, problem: Problem) -> None:
    api.put("/v1/collections/docs/documents/a", json={"text": "Words."})
    assert api.delete("/v1/collections/docs").json() == {"deleted": "docs"}
    problem(api.get("/v1/collections/docs"), 404, "not_found")
    problem(api.delete("/v1/collections/docs"), 404, "not_found")
    assert api.put("/v1/collections/docs", json={"chunking": {"size": 50}}).json()["documents"] == 0


def test_another_embedder_does_not_search_what_it_did_not_make(open_api: OpenApi, problem: Problem) -> None:
    with open_api(HashingEmbedder(dimension=64)) as api:
        api.put("/v1/collections/docs/documents/a", json={"text": "Words."})
    with open_api(HashingEmbedder(dimension=32)) as api:
        for sent in (
            api.post("/v1/search", json={"query": "words", "collection": "docs"}),
            api.put("/v1/collections/docs/documents/b", json={"text": "Words."}),
        ):
            assert "runs 'hashing'" in problem(sent, 409, "conflict")["detail"]
        assert api.get("/v1/collections/docs/documents/a").json()["text"] == "Words."
        api.put("/v1/collections/mine")
        listed = api.get("/v1/collections").json()["data"]
        assert [(entry["name"], entry["dimension"]) for entry in listed] == [("docs", 64), ("mine", 32)]
        assert "unavailable" in api.get("/v1/status").json()["collections"]["docs"]
        assert api.get("/metrics").status_code == 200
        assert api.delete("/v1/collections/docs").status_code == 200


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_a_collection_has_its_metric_and_its_recall_for_good(open_api: OpenApi, problem: Problem, metric: str) -> None:
    with open_api() as api:
        made = api.put("/v1/collections/docs", json={"metric": metric, "target_recall": 0.95})
        assert (made.status_code, made.json()["metric"], made.json()["target_recall"]) == (201, metric, 0.95)
        assert api.put("/v1/collections/docs", json={"metric": metric, "target_recall": 0.95}).status_code == 200
        api.put("/v1/collections/docs/documents/a", json={"text": "Bees sleep."})
    with open_api() as api:
        kept = api.get("/v1/collections/docs").json()
        assert (kept["metric"], kept["target_recall"]) == (metric, 0.95)
        other = "ip" if metric == "l2" else "l2"
        for asked, said in (
            ({"metric": other}, f"metric is {metric!r}, not {other!r}"),
            ({"target_recall": 0.9}, "target_recall is 0.95, not 0.9"),
        ):
            assert said in problem(api.put("/v1/collections/docs", json=asked), 409, "conflict")["detail"]


def test_the_metric_decides_the_score(api: httpx.Client) -> None:
    scores = {}
    for metric in ("cosine", "ip", "l2"):
        api.put(f"/v1/collections/{metric}", json={"metric": metric})
        api.put(f"/v1/collections/{metric}/documents/a", json={"text": "Bees sleep in winter."})
        search = {"query": "bees", "collection": metric, "hybrid": {"enabled": False}}
        (hit,) = api.post("/v1/search", json=search).json()["chunks"]
        scores[metric] = hit["score"]
        cosine = hit["scores"]["vector"]
    assert scores["ip"] == pytest.approx(scores["cosine"]) == pytest.approx(cosine)  # the embedder's are unit vectors
    assert scores["l2"] == pytest.approx(2 * cosine - 2)


def test_the_configured_recall_is_that_of_new_collections(open_api: OpenApi) -> None:
    with open_api(index={"target_recall": 0.9}) as api:
        assert api.put("/v1/collections/docs").json()["target_recall"] == 0.9
    with open_api(index={"target_recall": 0.8}) as api:
        assert api.put("/v1/collections/docs").json()["target_recall"] == 0.9


def test_a_collection_has_its_language_for_good(open_api: OpenApi, problem: Problem) -> None:
    with open_api() as api:
        made = api.put("/v1/collections/docs", json={"language": "de"})
        assert (made.status_code, made.json()["language"]) == (201, "de")
        assert api.put("/v1/collections/docs", json={"language": "de"}).status_code == 200
        assert api.put("/v1/collections/docs", json={}).json()["language"] == "de"
    with open_api(retrieval={"language": "fr"}) as api:
        refused = problem(api.put("/v1/collections/docs", json={"language": "en"}), 409, "conflict")
        assert "language is 'de', not 'en'" in refused["detail"]
        api.put("/v1/collections/docs/documents/a", json={"text": "Bienen schlafen."})
        assert [entry["language"] for entry in api.get("/v1/collections").json()["data"]] == ["de"]
        api.put("/v1/collections/mine/documents/a", json={"text": "Bees sleep."})
        assert api.get("/v1/collections/mine").json()["language"] == "fr"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"language": "klingon"}, "language"),
        ({"language": "DE"}, "language"),
        ({"language": ""}, "language"),
        ({"language": ["de"]}, "language"),
        ({"metric": "dot"}, "metric"),
        ({"metric": 1}, "metric"),
        ({"target_recall": 0.49}, "target_recall"),
        ({"target_recall": 1}, "target_recall"),
        ({"target_recall": "0.9"}, "target_recall"),
        ({"recall": 0.9}, "recall"),
    ],
)
def test_an_identity_that_is_none_is_refused(
    api: httpx.Client, problem: Problem, body: dict[str, object], param: str
) -> None:
    said = problem(api.put("/v1/collections/docs", json=body), 422, "invalid_request")
    assert said["error"]["param"] == param
    problem(api.get("/v1/collections/docs"), 404, "not_found")


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_a_repeated_document_loses_a_tenth_of_a_cosine_by_every_metric(api: httpx.Client, metric: str) -> None:
    api.put("/v1/collections/docs", json={"metric": metric, "chunking": {"size": 16, "overlap": 0}})
    api.put("/v1/collections/docs/documents/a", json={"text": "Honey bees sleep in winter and wake in spring. " * 4})
    search = {"query": "When do bees sleep?", "collection": "docs", "hybrid": {"enabled": False}}
    _, *repeated = api.post("/v1/search", json=search).json()["chunks"]
    assert repeated
    for chunk in repeated:
        lower = chunk["scores"]["vector"] - 0.1
        assert chunk["score"] == pytest.approx(2 * lower - 2 if metric == "l2" else lower, abs=1e-5)


def test_no_more_are_created_than_may_be(open_api: OpenApi, problem: Problem) -> None:
    with open_api(limits={"collections": 1}) as api:
        assert api.put("/v1/collections/a", json={}).status_code == 201
        for reply in (
            api.put("/v1/collections/b", json={}),
            api.put("/v1/collections/b/documents/x", json={"text": "Some words."}),
            api.put("/v1/collections/b/documents/x?wait_ms=0", json={"text": "Some words."}),
            api.post("/v1/collections/b/documents:batch", content=b'{"id":"x","text":"Some words."}'),
        ):
            assert "the limit is 1" in problem(reply, 409, "conflict")["detail"]
        assert api.put("/v1/collections/a", json={}).status_code == 200
        assert [entry["name"] for entry in api.get("/v1/collections").json()["data"]] == ["a"]
