"""The API over collections on Milvus: what a caller hears while it is away, and what is no fault of anybody."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from milvus_lite import MilvusLite

pytestmark = pytest.mark.cluster

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

DOCUMENTS = "/v1/collections/docs/documents"
QUESTION = {"query": "honey bees", "collection": "docs"}


def put(api: httpx.Client, name: str, **body: Any) -> httpx.Response:  # noqa: ANN401
    return api.put(f"{DOCUMENTS}/{name}", json={"text": "The honey bees of the meadow sleep in winter."} | body)


def test_while_milvus_is_away_callers_hear_a_503_and_documents_are_read(
    open_api: OpenApi, milvus_lite: MilvusLite, problem: Problem
) -> None:
    at = {"url": milvus_lite.url, "type": "FLAT", "timeout_ms": 2000}
    with open_api(index={"milvus": at}) as api:
        assert put(api, "bees", metadata={"tenant": "ours"}).status_code == 201
        found = api.post("/v1/search", json=QUESTION).json()
        assert [hit["document_id"] for hit in found["chunks"]] == ["bees"]
        assert not found.get("warnings"), "a default is not missed where there are no words"
        insisting = api.post("/v1/search", json=QUESTION | {"hybrid": {"enabled": True}}).json()
        assert "lexical_unavailable" in [warning["code"] for warning in insisting["warnings"]]
        asked = QUESTION | {"filters": {"type": "eq", "key": "tenant", "value": "theirs"}}
        assert api.post("/v1/search", json=asked).json()["chunks"] == []
        state = api.get("/v1/collections/docs").json()["index"]
        assert state["segments"][0]["index"] == "milvus"
        assert 'quarry_index_rows{collection="docs",index="milvus"} 1.0' in api.get("/metrics").text
        problem(put(api, "long", metadata={"tags": list(range(5000))}), 413, "payload_too_large")
        milvus_lite.stop()
        try:
            for reply in (api.post("/v1/search", json=QUESTION), put(api, "more"), put(api, "again")):
                problem(reply, 503, "vector_store_unavailable")
                assert reply.headers["Retry-After"]
                assert str(milvus_lite.url).removeprefix("http://") not in reply.text, "an address inside"
            assert api.get(f"{DOCUMENTS}/bees").status_code == 200
            assert api.get("/v1/collections/docs").json()["index"]["trouble"]
            assert api.get("/healthz").status_code == 200
        finally:
            milvus_lite.start()
        while (reply := put(api, "again")).status_code == 503:
            problem(reply, 503, "vector_store_unavailable")
        assert reply.status_code == 201
        found = api.post("/v1/search", json=QUESTION).json()
        assert {hit["document_id"] for hit in found["chunks"]} == {"bees", "more", "again"}, (
            "one was stored, and is sent"
        )
        assert api.delete("/v1/collections/docs").status_code == 200
