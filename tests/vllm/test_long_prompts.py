"""Prompts that are longer than the real server's context, by settings that take it for larger."""

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from e2e.conftest import Server
from indexes.base import Chunk, Hit
from loadtests.fake_vllm.server import served
from quotable import NotNeeded
from service.budget import Deadline
from service.generation.base import Finished, GenerationRequest, LlmCall, Passage
from service.generation.openai import OpenAIGenerator
from service.generation.prompt import build_messages
from service.llm_settings import LlmSettings
from vllm_on_cpu.prompter import Prompter, PrompterServer
from vllm_on_cpu.server import CONTEXT, MODEL, VllmServer

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]

CONFIGURED = 4 * CONTEXT
PASSAGES = 80
MAX_TOKENS = 64
QUESTION = "How often is the signing key rotated?"
SENTENCE = "The signing key of site {} is rotated every {} days by the operator on duty, who tells all readers of it. "
ANSWER = "Every ninety days [1]."


@pytest.fixture(scope="module")
def gateway(vllm: VllmServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrompterServer]:
    """One that does not say how long the context is, so that only a refusal tells."""
    app = Prompter(str(vllm.socket), lists_models=False)
    app.text = ANSWER
    with served(app, tmp_path_factory.mktemp("gateway") / "vllm.sock") as url:
        yield PrompterServer(url, app)


@pytest.fixture(scope="module")
def quarry(
    serve_module: Callable[..., Server],
    gateway: PrompterServer,
    prompter_of_all: PrompterServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> httpx.Client:
    """A server that takes the context for four times as long."""
    model = {"model": MODEL, "context": CONFIGURED}
    llms = {
        "told": model | {"url": prompter_of_all.url, "server": "vllm"},
        "counting": model | {"url": gateway.url, "server": "vllm"},
        "guessing": model | {"url": gateway.url, "server": "openai"},
    }
    answer = json.dumps({"passages": PASSAGES, "min_score": -1})
    data_dir = tmp_path_factory.mktemp("long") / "data"
    http = serve_module(data_dir, QUARRY_LLM=json.dumps(llms), QUARRY_ANSWER=answer)[1]
    for number in range(PASSAGES):
        text = "".join(SENTENCE.format(number, days) for days in range(2, 5))
        assert http.put(f"/v1/collections/manual/documents/{number}", json={"text": text}).status_code == 201
    return http


@pytest.mark.parametrize("llm", ["told", "counting", "guessing"])
def test_a_prompt_too_long_becomes_fewer_chunks(quarry: httpx.Client, prompter: Prompter, llm: str) -> None:
    prompter.text = ANSWER
    body = {"query": QUESTION, "collection": "manual", "llm": llm, "top_k": PASSAGES, "max_tokens": MAX_TOKENS}
    body["deadline_ms"] = 600_000  # with less, the plan of a busy machine has a shorter answer beside a longer prompt
    reply = quarry.post("/v1/query", json=body).json()
    assert len(reply["chunks"]) == PASSAGES
    assert (reply["status"], reply["degraded"], reply["answer"]) == ("partial", ["chunks"], ANSWER)
    assert [citation["chunk_id"] for citation in reply["citations"]] == [reply["chunks"][0]["id"]]
    # It is as long as it may be, but for what is left out of caution.
    assert CONTEXT / 4 < reply["usage"]["prompt_tokens"] <= CONTEXT - MAX_TOKENS
    assert quarry.get("/v1/status").json()["generators"][llm]["context"] == CONTEXT


def _asked(words: int) -> GenerationRequest:
    """The second passage has so many words."""
    texts = ["The key is rotated every ninety days.", " ".join(["a"] * words)]
    chunks = [Chunk(f"d{number}", 0, text, 0, len(text)) for number, text in enumerate(texts)]
    passages = [Passage(number, Hit(chunk, "Keys", None, 0.9)) for number, chunk in enumerate(chunks, start=1)]
    call = LlmCall(Deadline.after(300_000))
    return GenerationRequest(QUESTION, passages, MAX_TOKENS, 0.0, call, NotNeeded())


def _exactly_full(http: httpx.Client) -> GenerationRequest:
    """One whose prompt leaves no room for a single token."""

    def tokens(words: int) -> int:
        request = _asked(words)
        body: dict[str, Any] = {"model": MODEL, "messages": build_messages(request.question, request.passages)}
        return int(http.post("/tokenize", json=body).json()["count"])

    words = CONTEXT // 2
    words += CONTEXT - tokens(words)
    assert tokens(words) == CONTEXT
    return _asked(words)


@pytest.mark.parametrize("configured", [CONFIGURED, 64 * CONTEXT])
@pytest.mark.parametrize("kind", ["vllm", "openai"])
def test_a_prompt_that_fills_the_context_to_the_last_token(vllm: VllmServer, kind: str, configured: int) -> None:
    with vllm.client() as http:
        request = _exactly_full(http)
        body = {"model": MODEL, "messages": build_messages(request.question, request.passages), "max_tokens": 1}
        refused = http.post("/v1/chat/completions", json=body)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "max_tokens")
    settings = LlmSettings.model_validate({"url": vllm.url, "model": MODEL, "context": configured, "server": kind})
    *_, finished = asyncio.run(_answered(settings, vllm.url, request))
    assert isinstance(finished, Finished)
    assert (finished.left_out, finished.reason) == (1, "length")


@pytest.mark.parametrize("kind", ["vllm", "openai"])
def test_an_answer_longer_than_the_context_is_asked_for_shorter(vllm: VllmServer, kind: str) -> None:
    settings = LlmSettings.model_validate({"url": vllm.url, "model": MODEL, "context": CONFIGURED, "server": kind})
    request = replace(_asked(10), max_tokens=CONTEXT + 1)
    *_, finished = asyncio.run(_answered(settings, vllm.url, request))
    assert isinstance(finished, Finished)
    assert finished.left_out == 0
    assert 0 < finished.usage["completion_tokens"] <= CONTEXT // 2


async def _answered(settings: LlmSettings, url: str, request: GenerationRequest) -> list[object]:
    generator = OpenAIGenerator(settings, [url])  # not watched, so that it learns nothing but by refusals
    try:
        return [event async for event in generator.generate(request)]
    finally:
        await generator.close()
