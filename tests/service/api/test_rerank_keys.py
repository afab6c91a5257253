"""Reranking for keys: what it reads, and what it costs them."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx

from reranked import COUNT, OFF, SERVED, found, text
from service.access.keys import Keys
from tenants.asking import ADMIN, DOCUMENTS, RED, Asking, made
from three_routes import QUESTION, ROUTES

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]


def test_the_model_reads_nothing_that_a_key_hides(
    open_api: OpenApi, read: list[str], keys: Keys, ring: dict[str, str]
) -> None:
    assert ring["red"]
    docs_key = made(keys, "query", filter_=RED)
    with open_api(access={"admin_key": ADMIN}, rerank=SERVED, budgets={"rerank_ms": None}) as http:
        ask = Asking(http, ADMIN)
        for tenant in ("red", "blue"):
            for number in range(COUNT):
                body = {"text": f"{tenant} {text(number)}", "metadata": {"tenant": tenant}}
                assert ask("PUT", f"{DOCUMENTS}/{tenant}-{number}", json=body).status_code == 201
        read.clear()
        for route in ROUTES:
            body = {"query": QUESTION, "collection": "docs", "explain": True, "top_k": 3}
            if route == "/v1/chat/completions":
                messages = [{"role": "user", "content": QUESTION}]
                body = {"model": "docs", "messages": messages, "rag": {"explain": True, "top_k": 3}}
            reply = Asking(http, docs_key)("POST", route, json=body)
            assert found(reply) == [f"red-{number}" for number in (5, 4, 3)]
            assert "blue" not in reply.text
        assert len(read) == len(ROUTES) * COUNT
        assert all(said.startswith("red ") for said in read)


def test_its_tokens_count_for_the_key_that_asks(open_api: OpenApi, read: list[str]) -> None:
    with open_api(access={"admin_key": ADMIN}, rerank=SERVED, budgets={"rerank_ms": None}) as http:
        ask = Asking(http, ADMIN)
        assert ask("PUT", f"{DOCUMENTS}/d", json={"text": "The honey bees sleep."}).status_code == 201
        wanted = {"name": "reader", "scopes": ["query"], "limits": {"tokens_per_minute": 1_000_000}}
        key = ask("POST", "/v1/admin/keys", json=wanted).json()
        sample = f'quarry_key_tokens_total{{key="{key["id"]}"}} '

        def counted() -> float:
            metrics = ask("GET", "/metrics").text
            return float(metrics.split(sample)[1].split("\n")[0]) if sample in metrics else 0.0

        reader = Asking(http, key["key"])
        body = {"query": QUESTION, "collection": "docs"}
        assert reader("POST", "/v1/search", json=body | {"rerank": OFF}).status_code == 200
        embedded = counted()
        assert reader("POST", "/v1/search", json=body).status_code == 200
        direct = {"query": QUESTION, "documents": ["The honey bees sleep."]}
        reranked = counted() - embedded
        usage = reader("POST", "/v1/rerank", json=direct).json()["usage"]["total_tokens"]
        assert reranked == usage
    assert read
