"""A cross-encoder's order of what is found, on the routes that ask."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from indexes.lexical_text import lexical_text
from models.base import TextKind
from models.cross_encoder import CrossEncoderReranker
from models.hashing import HashingEmbedder
from reranked import COUNT, LONGEST_FIRST, NEAREST_FIRST, OFF, SERVED, found, text
from three_routes import ANSWERING, INSIDE, QUESTION, ROUTES, asked, told

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
Docs = Callable[..., httpx.Client]


@pytest.fixture
def api(docs: Docs) -> httpx.Client:
    return docs()


@pytest.mark.parametrize("route", ROUTES)
def test_hits_come_in_the_order_of_the_model(api: httpx.Client, read: list[str], route: str) -> None:
    assert found(asked(api, route, rerank=OFF)) == NEAREST_FIRST
    assert read == []
    reply = asked(api, route)
    assert found(reply) == LONGEST_FIRST
    chunks = told(reply)["chunks"]
    assert read == [f"T{number}\n{text(number)}" for number in range(COUNT)]
    assert [chunk["scores"]["rerank"] for chunk in chunks] == sorted(
        (chunk["scores"]["rerank"] for chunk in chunks), reverse=True
    )
    plain = {chunk["id"]: chunk for chunk in told(asked(api, route, rerank=OFF))["chunks"]}
    for chunk in chunks:  # all but the order is as it was
        del chunk["scores"]["rerank"]
        assert chunk == plain[chunk["id"]]
    assert (told(reply).get("degraded", []), told(reply)["warnings"]) == ([], [])


@pytest.mark.parametrize("route", ANSWERING)
def test_an_answer_rests_on_the_first_of_them(docs: Docs, route: str) -> None:
    api = docs(answer={"passages": 1, "min_confidence": 0})
    for rerank, cited in ((OFF, NEAREST_FIRST[0]), (None, LONGEST_FIRST[0])):
        reply = told(asked(api, route, rerank=rerank))
        assert [citation["document_id"] for citation in reply["citations"]] == [cited]


@pytest.mark.parametrize("route", ROUTES)
def test_a_request_decides_for_itself(api: httpx.Client, read: list[str], route: str) -> None:
    assert found(asked(api, route, rerank={"enabled": True, "candidates": 3})) == ["d2", "d1", "d0", "d3", "d4", "d5"]
    assert len(read) == 3
    chunks = told(asked(api, route, rerank={"enabled": True, "candidates": 3.0}))["chunks"]
    assert ["rerank" in chunk["scores"] for chunk in chunks] == [True] * 3 + [False] * 3
    assert found(asked(api, route, rerank={"enabled": True})) == LONGEST_FIRST
    assert found(asked(api, route, rerank=None)) == LONGEST_FIRST


def test_a_server_reorders_none_unless_it_is_told_to(docs: Docs, read: list[str]) -> None:
    api = docs(rerank=SERVED | {"searches": False, "candidates": 2})
    assert found(asked(api, "/v1/search")) == NEAREST_FIRST
    assert read == []
    assert found(asked(api, "/v1/search", rerank={"enabled": True})) == ["d1", "d0", "d2", "d3", "d4", "d5"]


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_what_is_wanted_is_chosen_from_more(api: httpx.Client, read: list[str], top_k: int) -> None:
    assert found(asked(api, "/v1/search", top_k=top_k)) == LONGEST_FIRST[:top_k]
    assert len(read) == COUNT
    few = asked(api, "/v1/search", top_k=top_k, rerank={"enabled": True, "candidates": 3})
    reordered = ["d2", "d1", "d0", "d3"]
    assert found(few) == reordered[:top_k]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("rerank", "refusal"),
    [
        ({}, ("rerank.enabled", "required")),
        ({"candidates": 5}, ("rerank.enabled", "required")),
        ({"enabled": False, "candidates": 5}, ("rerank", "leave candidates out")),
        ({"enabled": True, "candidates": 0}, ("rerank.candidates", "greater than or equal to 1")),
        ({"enabled": True, "candidates": 1001}, ("rerank.candidates", "less than or equal to 1000")),
        ({"enabled": True, "candidates": "5"}, ("rerank.candidates", "valid integer")),
        ({"enabled": True, "candidates": True}, ("rerank.candidates", "valid integer")),
        ({"enabled": 1}, ("rerank.enabled", "boolean")),
        ({"enabled": True, "top_n": 5}, ("rerank.top_n", "not permitted")),
        (True, ("rerank", "object")),
    ],
)
def test_what_no_rerank_is(
    api: httpx.Client, problem: Problem, read: list[str], route: str, rerank: object, refusal: tuple[str, str]
) -> None:
    param, said = refusal
    refused = problem(asked(api, route, rerank=rerank), 422, "invalid_request")
    assert refused["error"]["param"].removeprefix("rag.") == param
    assert said in refused["detail"]
    assert read == []


@pytest.mark.parametrize("route", ROUTES)
def test_without_a_model_the_setting_is_named_and_nothing_else_is_new(docs: Docs, problem: Problem, route: str) -> None:
    api = docs(rerank={})
    for rerank in ({"enabled": True}, {"enabled": True, "candidates": 5}):
        refused = problem(asked(api, route, rerank=rerank), 422, "invalid_request")
        assert refused["error"]["param"] == "rerank.enabled"
        assert "rerank.model" in refused["detail"]
        assert "QUARRY_RERANK__MODEL" in refused["detail"]
    for unwanted in (None, OFF):
        reply = told(asked(api, route, rerank=unwanted, explain=True, on_failure="fail"))
        assert [chunk["document_id"] for chunk in reply["chunks"]] == NEAREST_FIRST
        assert not any("rerank" in chunk["scores"] for chunk in reply["chunks"])
        assert "rerank" not in reply["timings_ms"]
        assert reply["explain"]["rerank"] is None


@pytest.mark.parametrize("route", ROUTES)
def test_the_time_of_it_is_a_stage_of_its_own(api: httpx.Client, route: str) -> None:
    reply = asked(api, route)
    timings = told(reply)["timings_ms"]
    stages = [took for stage, took in timings.items() if stage not in INSIDE]
    assert timings["rerank"] > 0
    assert min(stages) >= 0
    assert timings["total"] == pytest.approx(sum(stages), abs=0.001 * (1 + len(stages)))
    assert "rerank;dur=" in reply.headers["server-timing"]
    assert 'quarry_stage_seconds_count{stage="rerank"} 1.0' in api.get("/metrics").text
    assert "rerank" not in told(asked(api, route, rerank=OFF))["timings_ms"]


@pytest.mark.parametrize("route", ROUTES)
def test_what_moved_is_explained(api: httpx.Client, route: str) -> None:
    wanted = {"enabled": True, "candidates": 4}
    reply = told(asked(api, route, rerank=wanted, top_k=2, explain=True))
    assert reply["explain"]["rerank"] == {
        "model": "overlap",
        "candidates": 4,
        "scored": 4,
        "left": None,
        "places": [{"chunk_id": "d3#0", "before": 4}, {"chunk_id": "d2#0", "before": 3}],
    }
    reasons = {dropped["chunk_id"]: dropped["reason"] for dropped in reply["explain"]["dropped"]}
    assert reasons == {"d0#0": "reranked", "d1#0": "reranked", "d4#0": "outranked", "d5#0": "outranked"}
    assert reply["explain"]["fetched"] == 6
    assert told(asked(api, route, rerank=OFF, explain=True))["explain"]["rerank"] is None


def test_one_document_does_not_fill_the_candidates(docs: Docs) -> None:
    """The penalty decides which hits there are; the model alone decides their order."""
    api = docs(retrieval={"repeat_penalty": 2}, chunking={"size": 16, "overlap": 0})
    long = " ".join(["The honey bees sleep now."] * 14)
    assert api.put("/v1/collections/docs/documents/long", json={"text": long}).status_code == 201
    plain = found(asked(api, "/v1/search", top_k=4, rerank=OFF))
    assert plain.count("long") == 1
    few = found(asked(api, "/v1/search", top_k=4, rerank={"enabled": True, "candidates": 4}))
    assert (sorted(few), few != plain) == (sorted(plain), True)


def test_a_threshold_is_that_of_the_cosine(api: httpx.Client) -> None:
    chunks = told(asked(api, "/v1/search", rerank=OFF))["chunks"]
    least = chunks[2]["scores"]["vector"] - 1e-4
    assert found(asked(api, "/v1/search", score_threshold=least)) == ["d2", "d1", "d0"]


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_an_answer_is_dared_by_the_nearest_of_all_that_was_found(
    docs: Docs, language_model: Callable[..., str], llm_requests: list[dict[str, Any]], share: float
) -> None:
    """Although the reply has only what the model likes, and that is far from the question."""
    nearest, farthest = cosine(0), cosine(COUNT - 1)
    assert farthest < 0.5 * nearest
    pieces = [b'data: {"choices":[{"delta":{"content":"Now [1]."}}]}\n\n', b"data: [DONE]\n\n"]
    llm = {"main": {"url": language_model(pieces), "model": "m"}}
    api = docs(llm=llm, answer={"min_score": min(1.0, share * nearest)})
    assert found(asked(api, "/v1/query", top_k=1)) == [LONGEST_FIRST[0]]
    assert bool(llm_requests) is (share < 1)


def test_a_real_cross_encoder(open_api: OpenApi, tiny_reranker: Path) -> None:
    """Random weights: the order means nothing, but it is the model's own."""
    model = CrossEncoderReranker.load(str(tiny_reranker), device="cpu", dtype="float32")
    texts = {f"d{number}": lexical_text(f"T{number}", (), text(number)) for number in range(COUNT)}
    scores = model.score(model.tokenize(QUESTION, list(texts.values())))[:, 0]
    budgets = {"rerank_ms": 100_000}
    with open_api(rerank={"model": str(tiny_reranker)}, embedding={"dtype": "float32"}, budgets=budgets) as api:
        for number in range(COUNT):
            body = {"text": text(number), "title": f"T{number}"}
            api.put(f"/v1/collections/docs/documents/d{number}", json=body).raise_for_status()
        reply = asked(api, "/v1/search")
        assert found(reply) == [f"d{number}" for number in np.argsort(-scores, kind="stable")]
        given = [chunk["scores"]["rerank"] for chunk in told(reply)["chunks"]]
        np.testing.assert_allclose(given, np.sort(scores)[::-1], atol=1e-5)


def cosine(number: int) -> float:
    """Of the question and a document."""
    model = HashingEmbedder()
    asked = model.embed(model.tokenize([QUESTION], TextKind.QUERY))[0]
    document = model.embed(model.tokenize([f"T{number}\n{text(number)}"], TextKind.DOCUMENT))[0]
    return float(asked @ document)
