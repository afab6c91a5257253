"""The story of one question: what a lost or late stage does to the answer."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest

from models.base import TokenIds, Vectors
from models.hashing import HashingEmbedder
from service.errors import OverloadedError
from service.generation.prompt import NO_ANSWER

OpenApi = Callable[..., AbstractContextManager[httpx.Client]]
Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
LanguageModel = Callable[..., str]

PATIENCE_S = 200.0
STOP = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
NOBODY = "http://127.0.0.1:9"
TEXT = "The honey bees of the northern meadow sleep in winter. In spring the bees wake up and visit the clover."
QUESTION = {"query": "When do the honey bees sleep?", "collection": "docs"}


def said(*texts: str) -> list[bytes]:
    chunks = ({"choices": [{"index": 0, "delta": {"content": text}}]} for text in texts)
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]


def events(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    frames = [frame.split("\n") for frame in response.text.split("\n\n") if frame.startswith("event: ")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in frames]


def tokens(told: Sequence[tuple[str, dict[str, Any]]]) -> str:
    return "".join(data["text"] for name, data in told if name == "token")


@pytest.fixture
def with_model(open_api: OpenApi) -> Iterator[Callable[[str], httpx.Client]]:
    """(address) -> the application with that language model as its only one, and a document about bees."""
    opened: list[AbstractContextManager[httpx.Client]] = []

    def start(url: str) -> httpx.Client:
        opened.append(open_api(llm={"main": {"url": url, "model": "tiny"}}))
        api = opened[-1].__enter__()
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT, "title": "Bees"})
        return api

    yield start
    for api in opened:
        api.__exit__(None, None, None)


class Gated(HashingEmbedder):
    """A hashing embedder whose forwards wait at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.gate.set()

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        self.entered.release()
        assert self.gate.wait(PATIENCE_S)
        return super().embed(batch)


def test_an_answer_of_a_language_model(
    with_model: Callable[[str], httpx.Client], language_model: LanguageModel
) -> None:
    usage = b'data: {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}}\n\n'
    api = with_model(language_model([*said("They sleep in ", "winter [", "1].", " [7]"), STOP, usage, DONE]))
    reply = api.post("/v1/query", json=QUESTION).json()
    assert (reply["answer"], reply["status"], reply["degraded"]) == ("They sleep in winter [1].", "ok", [])
    assert reply["usage"] == {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    (citation,) = reply["citations"]
    assert reply["answer"][citation["answer_start"] : citation["answer_end"]] == "[1]"
    assert (
        citation["quote"] == TEXT[citation["document_start"] : citation["document_end"]] == reply["chunks"][0]["text"]
    )
    assert "quarry_citations_invalid_total 1.0" in api.get("/metrics").text

    told = events(api.post("/v1/query", json=QUESTION | {"stream": True}))
    assert [name for name, _ in told if name != "token"] == ["retrieval", "citation", "done"]
    assert tokens(told) == told[-1][1]["answer"] == reply["answer"]
    assert [data for name, data in told if name == "citation"] == reply["citations"]
    assert told[-1][1]["usage"] == reply["usage"]


def test_a_model_that_finds_no_answer(with_model: Callable[[str], httpx.Client], language_model: LanguageModel) -> None:
    reply = with_model(language_model([*said(NO_ANSWER), STOP, DONE])).post("/v1/query", json=QUESTION).json()
    assert (reply["status"], reply["no_answer_reason"]) == ("no_answer", "no_relevant_passage")
    assert reply["degraded"] == []


def test_a_model_is_not_asked_about_nothing(
    with_model: Callable[[str], httpx.Client], language_model: LanguageModel, llm_requests: list[dict[str, Any]]
) -> None:
    api = with_model(language_model([*said("Made up."), STOP, DONE]))
    reply = api.post("/v1/query", json=QUESTION | {"query": "zebra crossing"}).json()
    assert (reply["status"], reply["answer"], reply["citations"]) == ("no_answer", NO_ANSWER, [])
    assert llm_requests == []


def test_the_extractive_generator_can_be_asked_for(
    with_model: Callable[[str], httpx.Client], llm_requests: list[dict[str, Any]]
) -> None:
    reply = with_model(NOBODY).post("/v1/query", json=QUESTION | {"llm": "extractive"}).json()
    assert (reply["status"], reply["degraded"]) == ("ok", [])
    assert reply["answer"].startswith("The honey bees of the northern meadow sleep in winter. [1]")
    assert llm_requests == []


FAILURES = {
    "refuses 400": (dict(pieces=[b'{"error": {"message": "boom"}}'], status=400), 502, "llm_bad_response"),
    "refuses 500": (dict(pieces=[b"boom"], status=500), 503, "llm_unavailable"),
    "refuses 503": (dict(pieces=[b"boom"], status=503), 503, "llm_unavailable"),
    "garbage": (dict(pieces=[b"data: boom{\n\n", DONE]), 502, "llm_bad_response"),
    "error, then DONE": (dict(pieces=[b'data: {"error": {"message": "boom"}}\n\n', DONE]), 502, "llm_bad_response"),
    "breaks off": (dict(pieces=[]), 502, "llm_bad_response"),
    "torn": (dict(pieces=[], end="cut"), 503, "llm_unavailable"),
    "stalls": (dict(pieces=[], end="stall"), 504, "llm_timeout"),
    "words, then an error": (
        dict(pieces=[*said("Half an ans"), b'data: {"error": "boom"}\n\n', DONE]), 502, "llm_bad_response",
    ),
    "words, then torn": (dict(pieces=said("Half an ans"), end="cut"), 503, "llm_unavailable"),
}  # fmt: skip
SCRIPTS = [pytest.param(*row, id=name) for name, row in FAILURES.items()]
FALLBACK_MS = 6000
MODEL_MS = 1000


@pytest.fixture
def roomy_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Much time for the extractive answer, so that no busy machine can take it away."""
    monkeypatch.setattr("service.plan.Outlook.reserve_s", FALLBACK_MS / 1000)


def asked_of(script: dict[str, Any], on_failure: str) -> dict[str, Any]:
    """The question, with a deadline where the model would never end."""
    if script.get("end") != "stall":
        return QUESTION | {"on_failure": on_failure}
    reserve = FALLBACK_MS if on_failure == "degrade" else 0
    return QUESTION | {"on_failure": on_failure, "deadline_ms": MODEL_MS + reserve}


@pytest.mark.usefixtures("roomy_fallback")
@pytest.mark.parametrize(("script", "status", "code"), SCRIPTS)
def test_failures_as_one_reply(
    with_model: Callable[[str], httpx.Client],
    language_model: LanguageModel,
    problem: Problem,
    script: dict[str, Any],
    status: int,
    code: str,
) -> None:
    api = with_model(language_model(**script))
    extractive = api.post("/v1/query", json=QUESTION | {"llm": "extractive"}).json()

    degraded = api.post("/v1/query", json=asked_of(script, "degrade"))
    assert degraded.status_code == 200
    reply = degraded.json()
    assert (reply["status"], reply["degraded"]) == ("partial", ["llm"])
    assert (reply["answer"], reply["citations"]) == (extractive["answer"], extractive["citations"])
    assert reply["chunks"] == extractive["chunks"]
    assert "boom" not in degraded.text

    failed = problem(api.post("/v1/query", json=asked_of(script, "fail")), status, code)
    assert failed["stage"] == "llm"
    assert api.get("/readyz").json() == {"status": "ready", "reasons": [], "degraded": ["llm"]}
    assert api.get("/v1/status").json()["generators"]["main"]["state"] != "ready"
    assert 'quarry_degraded_total{rung="llm"} 1.0' in api.get("/metrics").text


@pytest.mark.usefixtures("roomy_fallback")
@pytest.mark.parametrize(("script", "status", "code"), SCRIPTS)
def test_failures_in_a_stream(
    with_model: Callable[[str], httpx.Client],
    language_model: LanguageModel,
    script: dict[str, Any],
    status: int,
    code: str,
) -> None:
    api = with_model(language_model(**script))
    extractive = api.post("/v1/query", json=QUESTION | {"llm": "extractive"}).json()
    words_came = script["pieces"][:1] == said("Half an ans")

    for on_failure in ("degrade", "fail"):
        told = events(api.post("/v1/query", json=asked_of(script, on_failure) | {"stream": True}))
        assert told[0][0] == "retrieval"
        assert "boom" not in tokens(told)
        if words_came or on_failure == "fail":
            assert tokens(told) == ("Half an ans" if words_came else "")
            name, body = told[-1]
            assert (name, body["status"], body["error"]["code"], body["stage"]) == ("error", status, code, "llm")
            assert "done" not in [name for name, _ in told]
        else:
            assert tokens(told) == told[-1][1]["answer"] == extractive["answer"]
            assert (told[-1][0], told[-1][1]["status"], told[-1][1]["degraded"]) == ("done", "partial", ["llm"])
    assert f'quarry_problems_total{{code="{code}"}} {2.0 if words_came else 1.0}' in api.get("/metrics").text


def test_nobody_listens(with_model: Callable[[str], httpx.Client], problem: Problem) -> None:
    api = with_model(NOBODY)
    reply = api.post("/v1/query", json=QUESTION).json()
    assert (reply["status"], reply["degraded"]) == ("partial", ["llm"])
    assert reply["citations"]
    problem(api.post("/v1/query", json=QUESTION | {"on_failure": "fail"}), 503, "llm_unavailable")


def test_a_failed_stage_never_becomes_no_answer(with_model: Callable[[str], httpx.Client]) -> None:
    """The passage has no sentence that could be quoted, so the extractive generator has nothing to say either."""
    api = with_model(NOBODY)
    api.put("/v1/collections/short/documents/bees", json={"text": "Honey bees sleep."})
    reply = api.post("/v1/query", json=QUESTION | {"collection": "short"}).json()
    assert (reply["status"], reply["no_answer_reason"], reply["degraded"]) == ("partial", None, ["llm"])
    assert (reply["answer"], reply["citations"]) == ("", [])
    assert len(reply["chunks"]) == 1


def test_the_last_rung_is_the_chunks(
    with_model: Callable[[str], httpx.Client], problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> None:
        raise OverloadedError("too much to do", 2.5)

    api = with_model(NOBODY)
    monkeypatch.setattr("service.generation.extractive.ExtractiveGenerator._ranked", busy)
    reply = api.post("/v1/query", json=QUESTION).json()
    assert (reply["status"], reply["degraded"], reply["answer"]) == ("partial", ["llm", "extractive"], "")
    assert len(reply["chunks"]) == 1
    failed = api.post("/v1/query", json=QUESTION | {"llm": "extractive", "on_failure": "fail"})
    problem(failed, 503, "overloaded")
    assert (failed.headers["retry-after"], failed.headers["retry-after-ms"]) == ("3", "2500")


def test_a_late_embedding_is_a_deadline_with_its_stage(open_api: OpenApi, problem: Problem) -> None:
    embedder = Gated()
    with open_api(embedder) as api:
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        embedder.gate.clear()
        for route in ("/v1/search", "/v1/query"):
            late = api.post(route, json=QUESTION | {"deadline_ms": 30})
            body = problem(late, 504, "deadline_exceeded")
            assert body["stage"] == "embed"
            assert body["detail"] == "the deadline of 30 ms passed in stage 'embed'"
            assert late.headers["x-should-retry"] == "false"
        embedder.gate.set()
        assert api.post("/v1/search", json=QUESTION).status_code == 200


def test_a_full_queue_is_overload_and_passes(open_api: OpenApi, problem: Problem) -> None:
    embedder = Gated()
    with open_api(embedder, embedding={"max_queued_tokens": 8}) as api, ThreadPoolExecutor(2) as threads:
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        embedder.gate.clear()
        embedder.entered = threading.Semaphore(0)  # forgets the forwards of the start and of the document
        computing = threads.submit(api.post, "/v1/search", json=QUESTION)
        assert embedder.entered.acquire(timeout=PATIENCE_S)
        queued = threads.submit(api.post, "/v1/search", json=QUESTION)
        while api.get("/v1/status").json()["engine"]["queued_tokens"] != {"query": 6, "bulk": 0}:
            assert not queued.done()
        refused = api.post("/v1/search", json=QUESTION)
        detail = problem(refused, 503, "overloaded")["detail"]
        assert detail.startswith("6 tokens wait in the query lane")
        assert "about 9 more were asked for; the limits are 8 tokens" in detail
        embedder.gate.set()
        assert [each.result(PATIENCE_S).status_code for each in (computing, queued)] == [200, 200]


def test_a_forward_that_fails_is_said_and_passes(
    open_api: OpenApi, problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise RuntimeError("the device burps")

    with open_api() as api:
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        with monkeypatch.context() as broken:
            broken.setattr(HashingEmbedder, "embed", failing)
            problem(api.post("/v1/search", json=QUESTION), 503, "embedder_unavailable")
            sent = api.put("/v1/collections/docs/documents/new", json={"text": TEXT})
            problem(sent, 503, "embedder_unavailable")
        assert [entry["id"] for entry in api.get("/v1/collections/docs/documents").json()["data"]] == ["bees"]
        assert api.post("/v1/search", json=QUESTION).status_code == 200


def test_passages_are_the_nearest_and_no_more_than_set(
    open_api: OpenApi, language_model: LanguageModel, llm_requests: list[dict[str, Any]]
) -> None:
    url = language_model([*said("Yes [1]."), STOP, DONE])
    with open_api(llm={"main": {"url": url, "model": "tiny"}}, answer={"passages": 2, "min_score": 0.3}) as api:
        for number in range(4):
            api.put(
                f"/v1/collections/docs/documents/{number}", json={"text": f"Honey bees sleep here. {'x ' * number}"}
            )
        api.put("/v1/collections/docs/documents/far", json={"text": "Nothing of the kind."})
        reply = api.post("/v1/query", json=QUESTION | {"hybrid": {"enabled": False}}).json()
        prompt = llm_requests[0]["messages"][1]["content"]
        assert [chunk["document_id"] for chunk in reply["chunks"][:2]] == ["0", "1"]
        assert len(reply["chunks"]) == 5
        assert prompt.count("\n> ") == 2
        assert "Honey bees sleep here." in prompt


def test_a_language_model_is_not_asked_what_no_chunk_is_near_and_quotes_judge_for_themselves(
    open_api: OpenApi, language_model: LanguageModel, llm_requests: list[dict[str, Any]]
) -> None:
    url = language_model([*said("Yes [1]."), STOP, DONE])
    with open_api(llm={"main": {"url": url, "model": "tiny"}}, answer={"min_score": 1.0}) as api:
        api.put("/v1/collections/docs/documents/bees", json={"text": TEXT})
        reply = api.post("/v1/query", json=QUESTION).json()
        assert (reply["status"], reply["confidence"], len(reply["chunks"])) == ("no_answer", None, 1)
        assert llm_requests == []
        assert api.post("/v1/query", json=QUESTION | {"llm": "extractive"}).json()["status"] == "ok"
