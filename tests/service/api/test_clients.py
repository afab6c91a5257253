"""Clients that others wrote, against a real socket."""

import base64
from collections.abc import Callable, Iterator
from typing import Any

import cohere
import httpx
import numpy as np
import openai
import pytest

from models.base import Reranker, TextKind
from models.hashing import HashingEmbedder

Listening = Callable[..., str]
Scripted = Callable[..., Any]

TEXTS = ["Honey bees sleep in winter.", "Wasps never sleep."]
QUERY = "where do honey bees sleep"
DOCUMENTS = ["Wasps never sleep.", "Honey bees sleep in the hive.", "Pumps fail."]
PATIENCE_S = 200.0


def expected() -> Any:  # noqa: ANN401
    hashing = HashingEmbedder()
    return hashing.embed(hashing.tokenize(TEXTS, TextKind.DOCUMENT))


@pytest.fixture
def openai_client(listening: Listening) -> Iterator[Callable[..., openai.OpenAI]]:
    """(embedder, **settings) -> a client of a server that runs."""
    opened: list[openai.OpenAI] = []

    def start(embedder: Any = None, retries: int = 0, **settings: object) -> openai.OpenAI:  # noqa: ANN401
        url = f"{listening(embedder, **settings)}/v1"
        opened.append(openai.OpenAI(base_url=url, api_key="unused", max_retries=retries, timeout=PATIENCE_S))
        return opened[-1]

    yield start
    for client in opened:
        client.close()


def test_openai_embeddings_as_the_client_asks_by_default(openai_client: Callable[..., openai.OpenAI]) -> None:
    reply = openai_client().embeddings.create(model="hashing", input=TEXTS)
    np.testing.assert_array_equal(np.array([item.embedding for item in reply.data], np.float32), expected())
    assert [item.index for item in reply.data] == [0, 1]
    assert (reply.model, reply.object) == ("hashing", "list")
    assert (reply.usage.prompt_tokens, reply.usage.total_tokens) == (8, 8)


def test_openai_embeddings_as_numbers_and_as_base64(openai_client: Callable[..., openai.OpenAI]) -> None:
    create = openai_client().embeddings.create
    numbers = create(model="hashing", input=TEXTS, encoding_format="float", user="u-1")
    np.testing.assert_array_equal(np.array([item.embedding for item in numbers.data], np.float32), expected())
    coded = create(model="hashing", input=TEXTS[0], encoding_format="base64").data[0].embedding
    decoded = np.frombuffer(base64.b64decode(coded), np.float32)  # type: ignore[arg-type]  asked for by name, it stays
    np.testing.assert_array_equal(decoded, expected()[0])
    short = create(model="hashing-query", input=TEXTS[0], dimensions=8, extra_body={"input_type": "query"})
    assert len(short.data[0].embedding) == 8


def test_openai_errors_are_the_clients_own(openai_client: Callable[..., openai.OpenAI]) -> None:
    create = openai_client().embeddings.create
    with pytest.raises(openai.NotFoundError, match="'gpt' is not served here") as missing:
        create(model="gpt", input="a")
    assert missing.value.code == "not_found"
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False") as refused:
        create(model="hashing", input=[[101, 102]])
    assert (refused.value.code, refused.value.param) == ("invalid_request", "input")
    with pytest.raises(openai.UnprocessableEntityError):
        create(model="hashing", input="a", dimensions=0)


def test_openai_tries_again_after_a_failure(openai_client: Callable[..., openai.OpenAI], scripted: Scripted) -> None:
    device = scripted()
    client = openai_client(device, retries=1)
    device.failures.append(RuntimeError("the device burps"))
    assert len(client.embeddings.create(model="hashing", input=TEXTS).data) == 2
    device.failures.extend([RuntimeError("the device burps")] * 2)
    with pytest.raises(openai.InternalServerError, match="the device burps"):
        client.embeddings.create(model="hashing", input=TEXTS)


def test_openai_does_not_try_again_when_its_time_is_up(
    openai_client: Callable[..., openai.OpenAI], scripted: Scripted
) -> None:
    device = scripted()
    client = openai_client(device, retries=3, budgets={"total_ms": 50})
    device.gate.clear()
    device.tokenized.clear()
    with pytest.raises(openai.InternalServerError, match="the deadline of 50 ms passed in stage 'embed'") as late:
        client.embeddings.create(model="hashing", input="alpha")
    assert late.value.status_code == 504
    assert device.tokenized == ["alpha"]
    device.gate.set()


@pytest.fixture
def cohere_options(listening: Listening, overlap: Reranker) -> Iterator[dict[str, Any]]:
    """What a client of a server that ranks is made with."""
    url = listening(rerank={"model": overlap.info.name})
    with httpx.Client(timeout=PATIENCE_S) as http:
        yield {"api_key": "unused", "base_url": url, "httpx_client": http}


def test_cohere_rerank_v2(cohere_options: dict[str, Any]) -> None:
    client = cohere.ClientV2(**cohere_options)
    reply = client.rerank(model="overlap", query=QUERY, documents=DOCUMENTS, top_n=2)
    assert [result.index for result in reply.results] == [1, 0]
    assert [result.relevance_score for result in reply.results] == pytest.approx([0.6, 0.2])
    assert reply.id


def test_cohere_rerank_v1(cohere_options: dict[str, Any]) -> None:
    client = cohere.Client(**cohere_options)
    given = [{"text": text} for text in DOCUMENTS]
    reply = client.rerank(model="overlap", query=QUERY, documents=given, return_documents=True)
    assert [result.index for result in reply.results] == [1, 0, 2]
    texts = [result.document.text for result in reply.results if result.document]
    assert texts == [DOCUMENTS[index] for index in (1, 0, 2)]


def test_cohere_errors_are_the_clients_own(cohere_options: dict[str, Any]) -> None:
    client = cohere.ClientV2(**cohere_options)
    with pytest.raises(cohere.NotFoundError) as missing:
        client.rerank(model="rerank-v3.5", query=QUERY, documents=DOCUMENTS)
    assert "'rerank-v3.5' is not served here" in str(missing.value.body)
    with pytest.raises(cohere.BadRequestError, match="documents is empty"):
        client.rerank(model="overlap", query=QUERY, documents=[])
