"""The routes of search and query."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

TEXT = (
    "# Café Ω\r\n\r\nThe espresso machine of the café is cleaned every evening by the staff. 🎉 "
    "The grinder next to the machine is cleaned once a week.\r\n\r\n## Opening\r\n\r\n"
    "The café opens at seven in the morning on weekdays."
)
QUESTION = {"query": "When is the espresso machine cleaned?", "collection": "docs"}


@pytest.fixture
def cafe(api: httpx.Client) -> httpx.Client:
    api.put("/v1/collections/docs", json={"chunking": {"size": 32, "overlap": 0}})
    body = {"title": "House rules", "text": TEXT, "url": "http://cafe/rules"}
    assert api.put("/v1/collections/docs/documents/rules.md", json=body).status_code == 201
    return api


def events(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    frames = [frame.split("\n") for frame in response.text.split("\n\n") if frame.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def test_search_replies_with_chunks_and_where_they_are(cafe: httpx.Client) -> None:
    response = cafe.post("/v1/search", json=QUESTION | {"hybrid": {"enabled": False}})
    reply = response.json()
    assert set(reply) == {"id", "chunks", "warnings", "timings_ms", "index_version", "explain"}
    assert reply["explain"] is None
    assert reply["index_version"] == 1
    assert len(reply["chunks"]) >= 2
    for chunk in reply["chunks"]:
        assert set(chunk) == {
            "id", "document_id", "title", "url", "text", "start", "end", "page", "heading_path", "score", "scores",
        }  # fmt: skip
        assert chunk["text"] == TEXT[chunk["start"] : chunk["end"]]
        assert (chunk["title"], chunk["url"], chunk["page"]) == ("House rules", "http://cafe/rules", None)
        assert chunk["id"].startswith("rules.md#")
    best, second = reply["chunks"][:2]
    assert best["scores"] == {"vector": best["score"]}
    assert second["score"] == pytest.approx(second["scores"]["vector"] - 0.1)  # the document's second chunk
    assert best["heading_path"] == ["Café Ω"]
    assert ["Café Ω", "Opening"] in [chunk["heading_path"] for chunk in reply["chunks"]]
    assert set(reply["timings_ms"]) == {"tokenize", "queue", "embed", "search", "other", "total"}
    assert response.headers["server-timing"].startswith("tokenize;dur=")
    assert "search;dur=" in response.headers["server-timing"]


@pytest.mark.parametrize("route", ["/v1/search", "/v1/query"])
def test_filters_keep_what_passes(cafe: httpx.Client, route: str) -> None:
    cafe.put("/v1/collections/docs/documents/german", json={"text": TEXT, "metadata": {"lang": ["de", "fr"]}})

    def found(filters: dict[str, Any] | None) -> set[str]:
        chunks = cafe.post(route, json=QUESTION | {"filters": filters}).json()["chunks"]
        return {chunk["document_id"] for chunk in chunks}

    german = {"type": "in", "key": "lang", "value": ["de", 1]}
    other = {"type": "ne", "key": "lang", "value": "de"}
    assert [found(german), found(other), found(None)] == [{"german"}, {"rules.md"}, {"german", "rules.md"}]
    assert found({"type": "and", "filters": [german, other]}) == set()


@pytest.mark.parametrize(
    ("query", "quote"),
    [
        (QUESTION["query"], "The espresso machine of the café is cleaned every evening by the staff."),
        ("When does the café open at weekdays in the morning?", "The café opens at seven in the morning on weekdays."),
    ],
)
def test_query_quotes_the_document(cafe: httpx.Client, query: str, quote: str) -> None:
    reply = cafe.post("/v1/query", json=QUESTION | {"query": query}).json()
    assert reply["status"] == "ok"
    # The extractive answer is nothing but its quotes, each followed by its marker.
    assert reply["answer"] == " ".join(f"{citation['quote']} [{citation['marker']}]" for citation in reply["citations"])
    for citation in reply["citations"]:
        assert citation["quote"] == TEXT[citation["document_start"] : citation["document_end"]]
        assert reply["answer"][citation["answer_start"] : citation["answer_end"]] == f"[{citation['marker']}]"
        assert reply["chunks"][citation["marker"] - 1]["id"] == citation["chunk_id"]
    assert quote in [citation["quote"] for citation in reply["citations"]]


def test_the_stream_and_the_reply_agree(cafe: httpx.Client) -> None:
    reply = cafe.post("/v1/query", json=QUESTION).json()
    response = cafe.post("/v1/query", json=QUESTION | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-accel-buffering"] == "no"
    assert "server-timing" in response.headers
    told = events(response)
    assert (told[0][0], told[-1][0]) == ("retrieval", "done")
    assert told[0][1]["chunks"] == reply["chunks"]
    assert told[0][1]["index_version"] == reply["index_version"]
    assert "".join(data["text"] for name, data in told if name == "token") == reply["answer"]
    assert [data for name, data in told if name == "citation"] == reply["citations"]
    done = told[-1][1]
    assert set(done) == {
        "status", "no_answer_reason", "confidence", "answer", "finish_reason", "usage", "llm_timings_ms", "timings_ms",
        "degraded",
    }  # fmt: skip
    assert (done["status"], done["answer"], done["finish_reason"]) == ("ok", reply["answer"], "stop")


def test_errors_before_the_stream_are_plain_replies(
    cafe: httpx.Client, problem: Callable[[httpx.Response, int, str], dict[str, Any]]
) -> None:
    problem(cafe.post("/v1/query", json=QUESTION | {"stream": True, "collection": "none"}), 404, "not_found")


def test_a_stream_of_nothing_is_refused(cafe: httpx.Client, problem: Callable[..., dict[str, Any]]) -> None:
    sent = cafe.post("/v1/query", json=QUESTION | {"generate": False, "stream": True})
    assert "nothing to stream" in problem(sent, 400, "invalid_request")["detail"]


def test_without_generation_there_are_only_chunks(cafe: httpx.Client) -> None:
    reply = cafe.post("/v1/query", json=QUESTION | {"generate": False}).json()
    assert (reply["answer"], reply["status"], reply["citations"]) == (None, "ok", [])
    assert reply["chunks"]


def test_top_k_and_threshold(cafe: httpx.Client) -> None:
    search = QUESTION | {"hybrid": {"enabled": False}}
    for number in range(3):
        cafe.put(f"/v1/collections/docs/documents/{number}", json={"text": f"The machine number {number} is cleaned."})
    everything = cafe.post("/v1/search", json=search | {"top_k": 1000}).json()["chunks"]
    assert len(everything) == 5
    assert cafe.post("/v1/search", json=search | {"top_k": 1}).json()["chunks"] == everything[:1]
    floor = sorted(chunk["scores"]["vector"] for chunk in everything)[2]
    kept = cafe.post("/v1/search", json=search | {"top_k": 1000, "score_threshold": floor}).json()["chunks"]
    assert kept == [chunk for chunk in everything if chunk["scores"]["vector"] >= floor]
    assert len(kept) == 3
    assert cafe.post("/v1/search", json=search | {"score_threshold": 1.0}).json()["chunks"] == []


def test_an_empty_collection_answers_nothing(api: httpx.Client) -> None:
    api.put("/v1/collections/docs")
    reply = api.post("/v1/query", json=QUESTION).json()
    assert (reply["status"], reply["chunks"], reply["index_version"]) == ("no_answer", [], 0)


def test_default_is_the_collection_when_none_is_named(api: httpx.Client) -> None:
    api.put("/v1/collections/default/documents/a", json={"text": "Words."})
    assert len(api.post("/v1/search", json={"query": "words"}).json()["chunks"]) == 1


def test_a_query_without_words_is_an_answer_like_any_other(cafe: httpx.Client) -> None:
    assert cafe.post("/v1/search", json=QUESTION | {"query": "?!"}).status_code == 200
    assert cafe.post("/v1/search", json=QUESTION).status_code == 200


def test_settings_reach_the_search(open_api: Callable[..., AbstractContextManager[httpx.Client]]) -> None:
    with open_api(answer={"min_confidence": 1.0}) as api:
        api.put("/v1/collections/docs/documents/a", json={"text": TEXT})
        assert api.post("/v1/query", json=QUESTION).json()["status"] == "no_answer"
        assert api.post("/v1/search", json=QUESTION).json()["chunks"]
