"""POST /v1/rerank and /v2/rerank: documents by how well they answer, and what is refused."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from models.base import Launched, Reranker
from models.cross_encoder import CrossEncoderReranker

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]

JSON = {"content-type": "application/json"}
SERVED = {"model": "some/where/overlap"}
PATIENCE_S = 200.0
QUERY = "where do honey bees sleep"
DOCUMENTS = ["Wasps never sleep.", "Honey bees sleep in the hive.", "Pumps fail.", "Where do honey bees sleep? Here."]
BEST_FIRST = [3, 1, 0, 2]


@pytest.fixture
def ranking(open_api: OpenApi, overlap: Reranker) -> Iterator[httpx.Client]:
    assert overlap.info.name == "overlap"
    with open_api(rerank=SERVED) as api:
        yield api


def sent(api: httpx.Client, route: str = "/v1/rerank", **fields: object) -> httpx.Response:
    return api.post(route, json={"query": QUERY, "documents": DOCUMENTS} | fields)


def order(response: httpx.Response) -> list[int]:
    assert response.status_code == 200, response.text
    return [result["index"] for result in response.json()["results"]]


@pytest.mark.parametrize("route", ["/v1/rerank", "/v2/rerank"])
def test_best_first(ranking: httpx.Client, route: str) -> None:
    response = sent(ranking, route, model="overlap")
    assert order(response) == BEST_FIRST
    body = response.json()
    assert set(body) == {"id", "model", "results", "usage"}
    assert body["model"] == "overlap"
    assert body["usage"] == {"total_tokens": 5 * 4 + 3 + 6 + 2 + 6}
    assert [set(result) for result in body["results"]] == [{"index", "relevance_score"}] * 4
    scores = [result["relevance_score"] for result in body["results"]]
    assert scores == pytest.approx([1, 0.6, 0.2, 0])
    assert sent(ranking, route).json()["id"] != body["id"]


def test_equal_scores_keep_their_order(ranking: httpx.Client) -> None:
    documents = ["bees", "wasps", "bees here", "pumps", "bees there", "nothing"] * 20
    bees = [i for i, text in enumerate(documents) if "bees" in text]
    others = [i for i, text in enumerate(documents) if "bees" not in text]
    assert order(sent(ranking, documents=documents)) == bees + others


@pytest.mark.parametrize(("top_n", "count"), [(1, 1), (3, 3), (4, 4), (1000, 4), (None, 4)])
def test_top_n(ranking: httpx.Client, top_n: int | None, count: int) -> None:
    assert order(sent(ranking, top_n=top_n)) == BEST_FIRST[:count]


def test_the_documents_come_back_when_asked_for(ranking: httpx.Client) -> None:
    mixed = [DOCUMENTS[0], {"text": DOCUMENTS[1], "title": "ignored"}, {"text": DOCUMENTS[2]}, DOCUMENTS[3]]
    for documents in (DOCUMENTS, mixed):
        response = sent(ranking, documents=documents, return_documents=True)
        assert order(response) == BEST_FIRST
        results = response.json()["results"]
        assert [result["document"] for result in results] == [{"text": DOCUMENTS[i]} for i in BEST_FIRST]
    for unwanted in (False, None):
        results = sent(ranking, documents=mixed, return_documents=unwanted).json()["results"]
        assert not any("document" in result for result in results)


def test_an_empty_document_and_vendor_fields(ranking: httpx.Client) -> None:
    response = sent(ranking, documents=["", "bees"], max_chunks_per_doc=3, truncate="END", rank_fields=["text"])
    assert order(response) == [1, 0]


BAD = [
    ("no documents", {"documents": []}, 400, "invalid_request", "documents is empty"),
    ("blank query", {"query": " \n"}, 400, "invalid_request", "query is blank"),
    ("empty query", {"query": ""}, 400, "invalid_request", "query is blank"),
    ("query null", {"query": None}, 422, "invalid_request", "query"),
    ("query a list", {"query": ["a"]}, 422, "invalid_request", "query"),
    ("overlong query", {"query": "x" * 8193}, 400, "invalid_request", "query has 8193 characters; the limit is 8192"),
    ("documents a string", {"documents": "a"}, 422, "invalid_request", "documents"),
    ("a number", {"documents": ["a", 7]}, 422, "invalid_request", "documents"),
    ("null", {"documents": [None]}, 422, "invalid_request", "documents"),
    ("an object without text", {"documents": [{"title": "a"}]}, 422, "invalid_request", "text"),
    ("text a number", {"documents": [{"text": 7}]}, 422, "invalid_request", "text"),
    ("nested", {"documents": [["a"]]}, 422, "invalid_request", "documents"),
    ("too many", {"documents": ["a"] * 1001}, 413, "payload_too_large", "1001 texts; the limit is 1000"),
    ("surrogate in the query", {"query": "a\ud800"}, 400, "invalid_request",
     "query has half of a surrogate pair at offset 1"),
    ("surrogate in a document", {"documents": ["a", "bc\udfff"]}, 400, "invalid_request",
     "documents[1] has half of a surrogate pair at offset 2"),
    ("surrogate in an object", {"documents": [{"text": "\ud800"}]}, 400, "invalid_request", "documents[0]"),
    ("top_n of 0", {"top_n": 0}, 422, "invalid_request", "top_n"),
    ("top_n true", {"top_n": True}, 422, "invalid_request", "top_n"),
    ("return a word", {"return_documents": "yes"}, 422, "invalid_request", "return_documents"),
    ("another model", {"model": "hashing"}, 404, "not_found", "'hashing' is not served here; 'overlap' is"),
    ("its path", SERVED, 404, "not_found", "'overlap' is"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "code", "said"), [row[1:] for row in BAD], ids=[name for name, *_ in BAD])
def test_bad_input(
    ranking: httpx.Client, problem: Problem, fields: dict[str, Any], status: int, code: str, said: str
) -> None:
    content = json.dumps({"query": QUERY, "documents": DOCUMENTS} | fields)
    for route in ("/v1/rerank", "/v2/rerank"):
        assert said in problem(ranking.post(route, content=content, headers=JSON), status, code)["detail"]
        assert order(sent(ranking, route)) == BEST_FIRST


def test_as_many_as_allowed(ranking: httpx.Client) -> None:
    assert len(order(sent(ranking, documents=["a"] * 1000))) == 1000


@pytest.mark.parametrize("route", ["/v1/rerank", "/v2/rerank"])
def test_without_a_reranker_the_setting_is_named(api: httpx.Client, problem: Problem, route: str) -> None:
    detail = problem(sent(api, route), 404, "not_found")["detail"]
    assert "rerank.model" in detail
    assert "QUARRY_RERANK__MODEL" in detail


def test_the_status_tells_of_it(ranking: httpx.Client) -> None:
    status = ranking.get("/v1/status").json()
    assert status["reranker"]["name"] == "overlap"
    assert set(status["engine"]["models"]) == {"hashing", "overlap"}


def test_it_cannot_embed(ranking: httpx.Client, problem: Problem) -> None:
    problem(ranking.post("/v1/embeddings", json={"input": "a", "model": "overlap"}), 404, "not_found")


def test_a_forward_that_fails_once(
    ranking: httpx.Client, problem: Problem, overlap: Reranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(_: object) -> Launched:
        raise RuntimeError("the device burps")

    with monkeypatch.context() as broken:
        broken.setattr(overlap, "launch", failing)
        refused = sent(ranking)
        assert "the device burps" in problem(refused, 503, "embedder_unavailable")["detail"]
        assert refused.headers["retry-after"]
        assert ranking.post("/v1/embeddings", json={"input": "a"}).status_code == 200
    assert order(sent(ranking)) == BEST_FIRST


def test_a_late_one_is_a_deadline_with_its_stage(
    open_api: OpenApi, overlap: Reranker, problem: Problem, scripted: Callable[..., Any]
) -> None:
    device = scripted()
    with open_api(device, rerank=SERVED) as api:
        device.gate.clear()  # an embedding that is under way holds the ranking up
        held = {"x-stainless-read-timeout": "0.01"}
        problem(api.post("/v1/embeddings", json={"input": "a"}, headers=held), 504, "deadline_exceeded")
        late = api.post("/v1/rerank", json={"query": QUERY, "documents": DOCUMENTS}, headers=held)
        assert problem(late, 504, "deadline_exceeded")["stage"] == "rerank"
        device.gate.set()
        assert order(sent(api)) == BEST_FIRST
    assert overlap.info.name == "overlap"


def test_a_client_that_hangs_up(
    listening: Callable[..., str],
    overlap: Reranker,
    scripted: Callable[..., Any],
    half_asked: Callable[[str, str, Any], socket.socket],
) -> None:
    device = scripted()
    address = listening(device, rerank=SERVED)
    with httpx.Client(base_url=address, timeout=PATIENCE_S) as api:
        while device._entered.acquire(blocking=False):
            pass  # forwards of the start
        device.gate.clear()
        busy = half_asked(address, "/v1/embeddings", {"input": "a"})
        assert device._entered.acquire(timeout=PATIENCE_S)
        leaving = half_asked(address, "/v1/rerank", {"query": QUERY, "documents": DOCUMENTS})
        while api.get("/v1/status").json()["engine"]["queued_tokens"]["query"] != 37:
            pass
        leaving.close()
        while api.get("/v1/status").json()["engine"]["queued_tokens"]["query"]:
            pass
        device.gate.set()
        assert busy.recv(64).startswith(b"HTTP/1.1 200")
        busy.close()
        assert order(sent(api)) == BEST_FIRST
        assert 'quarry_cancelled_tokens_total{stage="queued"} 37.0' in api.get("/metrics").text
    assert overlap.info.name == "overlap"


def test_a_real_cross_encoder(open_api: OpenApi, tiny_reranker: Path) -> None:
    """Random weights: the order means nothing, but it is the model's own."""
    model = CrossEncoderReranker.load(str(tiny_reranker), device="cpu", dtype="float32")
    scores = model.score(model.tokenize(QUERY, DOCUMENTS))[:, 0]
    with open_api(rerank={"model": str(tiny_reranker)}, embedding={"dtype": "float32"}) as api:
        response = sent(api, model="tiny-reranker")
        assert order(response) == np.argsort(-scores, kind="stable").tolist()
        given = [result["relevance_score"] for result in response.json()["results"]]
        np.testing.assert_allclose(given, np.sort(scores)[::-1], atol=1e-5)
        assert response.json()["usage"]["total_tokens"] == sum(map(len, model.tokenize(QUERY, DOCUMENTS)))
        assert api.get("/v1/status").json()["reranker"]["device"] == "cpu"


def test_the_query_is_screened_and_the_documents_are_not(open_api: OpenApi, overlap: Reranker, tmp_path: Path) -> None:
    assert overlap.info.name == "overlap"
    rule = "[[rule]]\nname = 'bees'\npattern = 'honey bees'\nin = ['question']\naction = '{}'\nreplacement = 'pumps'\n"
    (tmp_path / "mask.toml").write_text(rule.format("mask"))
    with open_api(rerank=SERVED, content={"rules": tmp_path / "mask.toml"}) as api:
        results = sent(api, query="honey bees", return_documents=True).json()["results"]
        assert (results[0]["index"], results[0]["document"]["text"]) == (2, "Pumps fail.")
        assert {result["document"]["text"] for result in results} == set(DOCUMENTS)
    (tmp_path / "block.toml").write_text(rule.format("block").replace("replacement = 'pumps'\n", ""))
    with open_api(rerank=SERVED, content={"rules": tmp_path / "block.toml"}) as api:
        refused = sent(api)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "content_blocked")
        assert sent(api, query="wasps").status_code == 200
