"""Quarry's answers through a real vLLM server, which says what the prompter tells it to."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from e2e.conftest import Server
from vllm_on_cpu.observing import gauge, half_asked, until
from vllm_on_cpu.prompter import Prompter, PrompterServer
from vllm_on_cpu.server import CONTEXT, MODEL, VllmServer

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(1200)]

TEXTS = {
    "rotation": "# Rotating keys 🔑\n\nThe signing key is rotated every ninety days by the operator on duty.",
    "validity": "# Old keys\n\nAn old signing key stays valid for one week after the key was rotated.",
}
QUESTION = {"query": "How often is the signing key rotated?", "collection": "manual", "llm": "main"}
ANSWER = "Every ninety days [1], naïvely said; old ones are valid for a week [2] 🔑."
ENDLESS = 1500
ATTEMPTS = 8


@pytest.fixture(scope="module")
def quarry(
    serve_module: Callable[..., Server], prompter_of_all: PrompterServer, tmp_path_factory: pytest.TempPathFactory
) -> httpx.Client:
    """A server that asks the real vLLM through the prompter."""
    main = {"url": prompter_of_all.url, "model": MODEL, "context": CONTEXT, "server": "vllm"}
    data_dir = tmp_path_factory.mktemp("answers") / "data"
    http = serve_module(data_dir, QUARRY_LLM=json.dumps({"main": main}))[1]
    for name, text in TEXTS.items():
        assert http.put(f"/v1/collections/manual/documents/{name}", json={"text": text}).status_code == 201
    return http


def events(http: httpx.Client) -> list[tuple[str, dict[str, Any]]]:
    text = http.post("/v1/query", json=QUESTION | {"stream": True}).text
    frames = [frame.split("\n") for frame in text.split("\n\n") if frame.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def test_text_and_citations_are_exact_streamed_and_not(quarry: httpx.Client, prompter: Prompter) -> None:
    prompter.text = ANSWER
    (_, retrieval), *told, (end, done) = events(quarry)
    reply = quarry.post("/v1/query", json=QUESTION).json()
    assert (end, done["status"], done["degraded"]) == ("done", "ok", [])
    pieces = [data["text"] for name, data in told if name == "token"]
    assert len(pieces) > 5
    assert "".join(pieces) == reply["answer"] == ANSWER
    citations = [data for name, data in told if name == "citation"]
    assert citations == reply["citations"]
    assert [citation["marker"] for citation in citations] == [1, 2]
    for citation in citations:
        chunk = retrieval["chunks"][citation["marker"] - 1]
        assert citation["chunk_id"] == chunk["id"]
        assert citation["quote"] == TEXTS[chunk["document_id"]][citation["document_start"] : citation["document_end"]]
        assert ANSWER[citation["answer_start"] : citation["answer_end"]] == f"[{citation['marker']}]"
    assert done["usage"]["completion_tokens"] >= len(pieces)


def test_a_grammar_is_never_asked_for(quarry: httpx.Client, prompter: Prompter) -> None:
    prompter.text = ANSWER
    quarry.post("/v1/query", json=QUESTION)
    assert not {"structured_outputs", "response_format", "prompt_logprobs", "n"} & set(prompter.bodies[-1])


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_frees_the_sequence(
    quarry: httpx.Client, vllm: VllmServer, prompter: Prompter, stream: bool
) -> None:
    prompter.extra = {"ignore_eos": True, "max_tokens": ENDLESS}
    with vllm.client() as http:

        def made() -> float:
            before = gauge(http, "generation_tokens_total")
            client = half_asked(str(quarry.base_url), "/v1/query", QUESTION | {"stream": stream})
            until(lambda: gauge(http, "num_requests_running") == 1 or gauge(http, "generation_tokens_total") > before)
            client.close()
            until(lambda: gauge(http, "num_requests_running") == 0)
            return gauge(http, "generation_tokens_total") - before

        # On a busy machine the engine may be done before the server in front of it says that it runs.
        assert any(made() < ENDLESS for _ in range(ATTEMPTS))
