"""Clients that others wrote, at a server that asks for keys."""

from collections.abc import Callable

import cohere
import httpx
import openai
import pytest

from service.access.key import new_secret

ADMIN = "a-key-of-an-operator-with-40-characters!"
DOCUMENTS = ["Wasps never sleep.", "Honey bees sleep in the hive."]
PATIENCE_S = 200.0


@pytest.fixture
def address(listening: Callable[..., str], overlap: object) -> str:
    """Of a server with a reranker, a document, and a configured key."""
    url = listening(rerank={"model": "overlap"}, access={"admin_key": ADMIN})
    document = {"text": "The audit is on Friday."}
    headers = {"Authorization": f"Bearer {ADMIN}"}
    path = f"{url}/v1/collections/docs/documents/memo-1"
    httpx.put(path, json=document, headers=headers, trust_env=False).raise_for_status()
    return url


@pytest.fixture
def made(address: str) -> str:
    """A key that may ask about `docs`."""
    body = {"name": "reader", "scopes": ["query"], "collections": ["docs"]}
    headers = {"Authorization": f"Bearer {ADMIN}"}
    reply = httpx.post(f"{address}/v1/admin/keys", json=body, headers=headers, trust_env=False).raise_for_status()
    return str(reply.json()["key"])


def asked(address: str, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0, timeout=PATIENCE_S)


def test_openai_with_a_key_is_answered(address: str, made: str) -> None:
    with asked(address, made) as client:
        assert len(client.embeddings.create(model="hashing", input=["a"]).data) == 1
        messages = [{"role": "user", "content": "When is the audit?"}]
        reply = client.chat.completions.create(model="docs", messages=messages)  # type: ignore[arg-type]
        assert "Friday" in (reply.choices[0].message.content or "")
        assert {model.id for model in client.models.list()} >= {"docs", "hashing"}


def test_openai_without_the_right_key_or_the_right_to_it_is_told_so(address: str, made: str) -> None:
    for wrong in ("unused", str(new_secret()), made[:-1]):
        with asked(address, wrong) as client, pytest.raises(openai.AuthenticationError) as refused:
            client.embeddings.create(model="hashing", input=["a"])
        assert (refused.value.status_code, refused.value.code) == (401, "unauthenticated")
    with asked(address, made) as client, pytest.raises(openai.PermissionDeniedError) as forbidden:
        client.chat.completions.create(model="others", messages=[{"role": "user", "content": "Why?"}])
    assert forbidden.value.code == "forbidden"


def test_cohere_with_a_key_and_without(address: str, made: str) -> None:
    with httpx.Client(timeout=PATIENCE_S, trust_env=False) as transport:
        client = cohere.ClientV2(made, base_url=address, httpx_client=transport)
        reply = client.rerank(model="overlap", query="where do honey bees sleep", documents=DOCUMENTS)
        assert reply.results[0].index == 1
        stranger = cohere.ClientV2(str(new_secret()), base_url=address, httpx_client=transport)
        with pytest.raises(cohere.UnauthorizedError):
            stranger.rerank(model="overlap", query="where do honey bees sleep", documents=DOCUMENTS)
