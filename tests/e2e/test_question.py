"""Documents in, cited answers out, over a real socket with the real model."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

DOCUMENTS = {
    "guide/keys.md": (
        "Rotating keys",
        "# Rotating keys 🔑\r\n\r\nThe signing key is rotated every ninety days by the operator on duty. "
        "Old keys stay valid for one week after the rotation.\r\n\r\n"
        "## Emergency\r\n\r\nA leaked key is revoked at once with the revoke command, naïve retries included.",
    ),
    "guide/backup.md": (
        "Backups",
        "# Backups\n\nA nightly backup is written to the second disk at two in the morning. "
        "Restoring a backup takes about forty minutes for a hundred gigabytes.",
    ),
    "kitchen.md": ("Pancakes", "Whisk two eggs with flour and milk, then rest the pancake batter for half an hour."),
}
QUESTION = "How often is the signing key rotated?"


@pytest.fixture(scope="module")
def collection(http: httpx.Client) -> str:
    for document_id, (title, text) in DOCUMENTS.items():
        body = {"title": title, "text": text, "metadata": {"from": "test"}}
        response = http.put(f"/v1/collections/manual/documents/{quote(document_id, safe='')}", json=body)
        assert response.status_code == 201, response.text
    return "manual"


def events(http: httpx.Client, body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    with http.stream("POST", "/v1/query", json=body | {"stream": True}) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        return list(_parsed(response.iter_lines()))


def _parsed(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_search_finds_what_was_put_best_first(http: httpx.Client, collection: str) -> None:
    chunks = http.post("/v1/search", json={"query": QUESTION, "collection": collection}).json()["chunks"]
    assert chunks[0]["document_id"] == "guide/keys.md"
    assert [chunk["score"] for chunk in chunks] == sorted((chunk["score"] for chunk in chunks), reverse=True)
    for chunk in chunks:
        assert chunk["text"] == DOCUMENTS[chunk["document_id"]][1][chunk["start"] : chunk["end"]]


def test_citations_are_slices_of_the_stored_document(http: httpx.Client, collection: str) -> None:
    reply = http.post("/v1/query", json={"query": QUESTION, "collection": collection}).json()
    assert reply["status"] == "ok"
    assert "ninety days" in reply["answer"]
    assert reply["citations"]
    # The extractive answer is nothing but its quotes, each followed by its marker.
    assert reply["answer"] == " ".join(f"{citation['quote']} [{citation['marker']}]" for citation in reply["citations"])
    for citation in reply["citations"]:
        path = f"/v1/collections/{collection}/documents/{quote(citation['document_id'], safe='')}"
        text = http.get(path).json()["text"]
        assert citation["quote"] == text[citation["document_start"] : citation["document_end"]]
        marker = reply["answer"][citation["answer_start"] : citation["answer_end"]]
        assert marker == f"[{citation['marker']}]"
        assert reply["chunks"][citation["marker"] - 1]["id"] == citation["chunk_id"]


def test_the_stream_tells_what_the_reply_says(http: httpx.Client, collection: str) -> None:
    body = {"query": QUESTION, "collection": collection}
    reply = http.post("/v1/query", json=body).json()
    told = events(http, body)
    names = [name for name, _ in told]
    assert names[0] == "retrieval"
    assert names[-1] == "done"
    assert "".join(data["text"] for name, data in told if name == "token") == reply["answer"]
    assert [data for name, data in told if name == "citation"] == reply["citations"]
    assert told[0][1]["chunks"] == reply["chunks"]
    assert {name: told[-1][1][name] for name in ("status", "answer", "usage", "degraded")} == {
        name: reply[name] for name in ("status", "answer", "usage", "degraded")
    }


def test_a_question_that_the_documents_do_not_answer(http: httpx.Client, collection: str) -> None:
    body = {"query": "Which football club won the league in 1987?", "collection": collection}
    reply = http.post("/v1/query", json=body).json()
    assert (reply["status"], reply["no_answer_reason"]) == ("no_answer", "no_relevant_passage")
    assert reply["citations"] == []


def test_timings_add_up_and_travel_in_the_header(http: httpx.Client, collection: str) -> None:
    response = http.post("/v1/query", json={"query": QUESTION, "collection": collection})
    timings = response.json()["timings_ms"]
    stages = sum(milliseconds for name, milliseconds in timings.items() if name not in {"total", "llm_ttft", "llm_itl"})
    assert stages == pytest.approx(timings["total"], abs=0.05)
    retrieval = {"tokenize", "queue", "embed", "search", "lexical", "fusion"}
    assert {*retrieval, "prompt", "llm_ttft", "llm_total", "other", "total"} == set(timings)
    told = dict(entry.split(";dur=") for entry in response.headers["server-timing"].split(", "))
    assert set(told) == set(timings)  # the header is made when the reply is ready to go
    assert all(float(told[name]) == timings[name] for name in set(timings) - {"other", "total"})


def test_a_deleted_document_is_gone_from_the_next_search(http: httpx.Client) -> None:
    path = "/v1/collections/fleeting/documents/one"
    http.put(path, json={"text": "The lighthouse keeper polishes the great lens every morning."})
    body = {"query": "lighthouse lens", "collection": "fleeting"}
    assert len(http.post("/v1/search", json=body).json()["chunks"]) == 1
    assert http.delete(path).json()["deleted"] == 1
    assert http.post("/v1/search", json=body).json()["chunks"] == []
    assert http.get(path).status_code == 404
    assert http.delete(path).json()["deleted"] == 0


@pytest.mark.parametrize(
    "document_id",
    ["a/b/c.txt", "with space.md", "per%cent", "slash%2Fencoded", "what?#frag", "grüße/日本語 🎉.md", "documents/x"],
)
def test_ids_survive_the_round_trip(http: httpx.Client, document_id: str) -> None:
    path = f"/v1/collections/documents/documents/{quote(document_id, safe='')}"
    assert http.put(path, json={"text": f"Text of {document_id}"}).json()["id"] == document_id
    assert http.get(path).json()["id"] == document_id
    assert http.delete(path).json()["deleted"] == 1
    assert http.get(path).status_code == 404


def test_a_slash_in_an_id_may_come_encoded_or_not(http: httpx.Client) -> None:
    http.put("/v1/collections/slashes/documents/a%2Fb", json={"text": "Some text."})
    assert http.get("/v1/collections/slashes/documents/a/b").json()["id"] == "a/b"
