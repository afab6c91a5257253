"""One question on each route that retrieves, and what its reply says of that."""

from typing import Any

import httpx

ROUTES = ("/v1/search", "/v1/query", "/v1/chat/completions")
ANSWERING = ROUTES[1:]
QUESTION = "When do the honey bees sleep?"
# Stages that lie inside another, or are all of them.
INSIDE = {"llm_ttft", "llm_itl", "total"}


def asked(api: httpx.Client, route: str, query: str = QUESTION, **options: object) -> httpx.Response:
    if route == "/v1/chat/completions":
        messages = [{"role": "user", "content": query}]
        return api.post(route, json={"model": "docs", "messages": messages, "rag": options})
    return api.post(route, json={"query": query, "collection": "docs", **options})


def told(reply: httpx.Response) -> dict[str, Any]:
    """What the reply says of the search, wherever it says it."""
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body.get("rag", body)
