"""Words of documents as they are stored, on the routes that search."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import httpx
import pytest

from tenants.asking import Asking

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
# Vectors are of words too, so what has the rare word is made to have much else.
TEXTS = {
    "plain": "The invoice of the meadow is paid.",
    "rare": " ".join(["invoice 4711-B", *(f"word{n}" for n in range(80))]),
    "other": "The clover wakes up in May.",
}


@pytest.fixture
def docs(open_api: OpenApi) -> Iterator[httpx.Client]:
    with open_api() as api:
        for name, text in TEXTS.items():
            assert api.put(f"/v1/collections/docs/documents/{name}", json={"text": text}).is_success
        yield api


def order(api: httpx.Client, query: str, hybrid: object) -> list[str]:
    body = {"query": query, "collection": "docs", "hybrid": hybrid}
    return [chunk["document_id"] for chunk in api.post("/v1/search", json=body).raise_for_status().json()["chunks"]]


def test_the_weight_orders_between_words_and_vectors(docs: httpx.Client) -> None:
    query = "the invoice of the 4711"
    assert order(docs, query, {"enabled": True, "weight": 0})[0] == "rare"
    by_vectors = order(docs, query, {"enabled": False})
    assert by_vectors[0] == "plain"
    assert order(docs, query, {"enabled": True, "weight": 1}) == by_vectors


def test_a_chunk_says_what_both_make_of_it(docs: httpx.Client) -> None:
    body = {"query": "4711", "collection": "docs", "hybrid": {"enabled": True, "weight": 0}}
    chunks = docs.post("/v1/search", json=body).json()["chunks"]
    assert chunks[0]["document_id"] == "rare"
    assert chunks[0]["scores"]["lexical"] > 0
    assert all(chunk["scores"]["lexical"] == 0 for chunk in chunks[1:])


def test_words_are_found_as_soon_as_they_are_acknowledged_and_not_after_they_are_gone(docs: httpx.Client) -> None:
    path, weightless = "/v1/collections/docs/documents/late", {"enabled": True, "weight": 0}
    docs.put(path, json={"text": "Something about zeppelins and " + TEXTS["rare"]})
    assert order(docs, "zeppelins", weightless)[0] == "late"
    docs.delete(path)
    assert "late" not in order(docs, "zeppelins", weightless)


def test_how_long_words_took_is_not_told_to_a_key_with_a_filter(opened: httpx.Client, red: str) -> None:
    body = {"query": "the blue boiler", "collection": "docs"}
    reply = Asking(opened, red)("POST", "/v1/search", json=body)
    assert {"search"} == {"search", "lexical", "fusion"} & reply.json()["timings_ms"].keys()
    assert "lexical" not in reply.headers["server-timing"]
