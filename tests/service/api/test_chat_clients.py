"""Chat clients that others wrote, unmodified, against a real socket and a model server that writes as vLLM does."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import FakeVllm, fake_vllm

PATIENCE_S = 60.0
MESSAGES: Any = [{"role": "user", "content": "When do the honey bees sleep?"}]
TEXT = "The honey bees of the northern meadow sleep in winter. In spring the bees wake up and visit the clover."
SAID = "They sleep in winter [1]. In spring they wake up [1]."


@pytest.fixture
def llm() -> Iterator[FakeVllm]:
    with fake_vllm(Options(ttft_ms=0, itl_ms=0)) as fake:
        fake.script({"text": SAID})
        yield fake


@pytest.fixture
def start(listening: Callable[..., str], llm: FakeVllm) -> Iterator[Callable[..., str]]:
    """(**settings) -> address of a server with one document in `docs`."""

    def started(**settings: object) -> str:
        named = {"main": {"url": llm.url, "model": "fake", "server": "vllm"}}
        address = listening(**{"llm": named} | settings)
        with httpx.Client(base_url=address, timeout=PATIENCE_S, trust_env=False) as http:
            body = {"text": TEXT, "title": "Bees"}
            assert http.put("/v1/collections/docs/documents/bees", json=body).status_code == 201
        return address

    yield started


@pytest.fixture
def client(start: Callable[..., str]) -> Iterator[Callable[..., openai.OpenAI]]:
    """(retries=0, **settings) -> a client of a server."""
    with ExitStack() as stack:

        def opened(retries: int = 0, **settings: object) -> openai.OpenAI:
            url = f"{start(**settings)}/v1"
            made = openai.OpenAI(base_url=url, api_key="unused", max_retries=retries, timeout=PATIENCE_S)
            return stack.enter_context(made)

        yield opened


def query(client: openai.OpenAI, **body: object) -> dict[str, Any]:
    asked = {"query": MESSAGES[0]["content"], "collection": "docs"} | body
    reply: dict[str, Any] = client.post("/query", body=asked, cast_to=httpx.Response).json()
    return reply


def test_openai_is_told_what_a_content_rule_did(client: Callable[..., openai.OpenAI], tmp_path: Path) -> None:
    rule = "[[rule]]\nname = 'spring'\npattern = 'in spring'\nin = ['question', 'answer']\naction = 'block'\n"
    (tmp_path / "rules.toml").write_text(rule)
    opened = client(content={"rules": tmp_path / "rules.toml"})
    (choice,) = opened.chat.completions.create(model="docs", messages=MESSAGES).choices
    assert (choice.finish_reason, choice.message.content) == ("content_filter", "They sleep in winter [1]. ")
    chunks = list(opened.chat.completions.create(model="docs", messages=MESSAGES, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == choice.message.content
    assert chunks[-1].choices[0].finish_reason == "content_filter"
    with pytest.raises(openai.BadRequestError) as refused:
        opened.chat.completions.create(model="docs", messages=[{"role": "user", "content": "Do they wake in spring?"}])
    assert (refused.value.code, refused.value.param) == ("content_blocked", "messages")


@pytest.mark.parametrize("generator", ["main", "extractive"])
def test_openai_chat_says_what_query_says(client: Callable[..., openai.OpenAI], generator: str) -> None:
    opened = client()
    expected = query(opened, llm=generator)
    chat = opened.chat.completions.create(model="docs", messages=MESSAGES, extra_body={"rag": {"llm": generator}})
    message = chat.choices[0].message
    assert (message.role, message.content, message.refusal) == ("assistant", expected["answer"], None)
    assert chat.choices[0].finish_reason == expected["finish_reason"] == "stop"
    cited = [annotation.url_citation for annotation in message.annotations or ()]
    assert [(each.start_index, each.end_index) for each in cited] == [
        (each["answer_start"], each["answer_end"]) for each in expected["citations"]
    ]
    assert cited
    assert {(each.url, each.title) for each in cited} == {("/v1/collections/docs/documents/bees", "Bees")}
    assert chat.usage
    assert chat.usage.total_tokens == expected["usage"].get("total_tokens", 0)
    rag = chat.model_extra and chat.model_extra["rag"]
    assert rag
    assert (rag["status"], rag["citations"], rag["chunks"]) == ("ok", expected["citations"], expected["chunks"])


@pytest.mark.parametrize("generator", ["main", "extractive"])
def test_openai_streams_by_chunks_and_by_its_helper(client: Callable[..., openai.OpenAI], generator: str) -> None:
    opened = client()
    extra = {"rag": {"llm": generator}}
    whole = opened.chat.completions.create(model="docs", messages=MESSAGES, extra_body=extra)
    message = whole.choices[0].message
    usage: Any = {"include_usage": True}
    chunks = list(
        opened.chat.completions.create(
            model="docs", messages=MESSAGES, stream=True, stream_options=usage, extra_body=extra
        )
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == message.content
    assert chunks[-1].usage == whole.usage
    with opened.chat.completions.stream(
        model="docs", messages=MESSAGES, stream_options=usage, extra_body=extra
    ) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        final = stream.get_final_completion()
    assert "".join(deltas) == final.choices[0].message.content == message.content
    assert [each.to_dict() for each in final.choices[0].message.annotations or ()] == [
        each.to_dict() for each in message.annotations or ()
    ]
    assert (final.choices[0].finish_reason, final.usage) == ("stop", whole.usage)


def test_openai_asynchronously(start: Callable[..., str]) -> None:
    url = f"{start()}/v1"

    async def scenario() -> None:
        async with openai.AsyncOpenAI(base_url=url, api_key="unused", timeout=PATIENCE_S) as client:
            create = client.chat.completions.create
            whole, stream = await asyncio.gather(
                create(model="docs", messages=MESSAGES), create(model="docs", messages=MESSAGES, stream=True)
            )
            texts = [chunk.choices[0].delta.content or "" async for chunk in stream]
            assert "".join(texts) == whole.choices[0].message.content == SAID

    asyncio.run(scenario())


def test_openai_lists_models(client: Callable[..., openai.OpenAI]) -> None:
    opened = client()
    assert [model.id for model in opened.models.list()] == ["docs", "hashing"]
    assert opened.models.retrieve("docs").owned_by == "quarry"
    with pytest.raises(openai.NotFoundError, match="'BAAI/bge-m3' is not served here"):
        opened.models.retrieve("BAAI/bge-m3")


def test_openai_errors_are_the_clients_own(client: Callable[..., openai.OpenAI], llm: FakeVllm) -> None:
    create = client(limits={"query_characters": 100}).chat.completions.create
    with pytest.raises(openai.NotFoundError, match="'gpt-4o' is not served here") as missing:
        create(model="gpt-4o", messages=MESSAGES)
    assert (missing.value.code, missing.value.param) == ("not_found", "model")
    with pytest.raises(openai.BadRequestError, match="n must be 1") as refused:
        create(model="docs", messages=MESSAGES, n=2)
    assert (refused.value.code, refused.value.param) == ("invalid_request", "n")
    with pytest.raises(openai.UnprocessableEntityError, match=r"rag\.topk"):
        create(model="docs", messages=MESSAGES, extra_body={"rag": {"topk": 3}})
    with pytest.raises(openai.BadRequestError, match="the limit is 100"):
        create(model="docs", messages=[{"role": "user", "content": "x" * 101}])
    llm.script({"fault": "dead"})
    with pytest.raises(openai.InternalServerError) as lost:
        create(model="docs", messages=MESSAGES, extra_body={"rag": {"on_failure": "fail"}})
    assert (lost.value.status_code, lost.value.code) == (503, "llm_unavailable")
    assert int(lost.value.response.headers["retry-after-ms"]) > 0


def test_openai_sees_a_failure_in_mid_stream(client: Callable[..., openai.OpenAI], llm: FakeVllm) -> None:
    llm.script({"text": SAID, "fault": "error", "after": 4})
    seen = []
    with pytest.raises(openai.APIError) as failed:
        seen.extend(client().chat.completions.create(model="docs", messages=MESSAGES, stream=True))
    assert failed.value.code == "llm_bad_response"
    assert seen[0].choices[0].delta.role == "assistant"
    assert not [chunk for chunk in seen if chunk.choices[0].finish_reason]


def test_openai_does_not_try_again_when_its_time_is_up(client: Callable[..., openai.OpenAI], llm: FakeVllm) -> None:
    llm.script({"fault": "stall"})
    opened = client(retries=3)
    with pytest.raises(openai.InternalServerError) as late:
        opened.chat.completions.create(
            model="docs", messages=MESSAGES, extra_body={"rag": {"on_failure": "fail", "deadline_ms": 500}}
        )
    assert (late.value.status_code, late.value.response.headers["x-should-retry"]) == (504, "false")
    assert (
        len([request for request in llm.state()["requests"] if request.get("stream")]) == 1
    )  # and a canary, it may be


def test_langchain_chat(start: Callable[..., str]) -> None:
    url = f"{start()}/v1"
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as http:
        chat = ChatOpenAI(
            base_url=url, api_key="unused", model="docs", http_client=http, extra_body={"rag": {"top_k": 3}}
        )
        whole = chat.invoke([("system", "You are kind."), ("user", MESSAGES[0]["content"])])
        assert whole.content == SAID
        assert whole.response_metadata["finish_reason"] == "stop"
        assert whole.usage_metadata
        assert whole.usage_metadata["output_tokens"] > 0
        assert "".join(str(chunk.content) for chunk in chat.stream(MESSAGES)) == SAID
        chat = chat.bind(tools=[{"type": "function", "function": {"name": "f", "parameters": {}}}])  # type: ignore[assignment]
        with pytest.raises(openai.BadRequestError, match="leave tools out"):
            chat.invoke(MESSAGES)


def test_langchain_chat_asynchronously(start: Callable[..., str]) -> None:
    url = f"{start()}/v1"

    async def scenario() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as http:
            chat = ChatOpenAI(base_url=url, api_key="unused", model="docs", http_async_client=http)
            assert (await chat.ainvoke(MESSAGES)).content == SAID
            assert "".join([str(chunk.content) async for chunk in chat.astream(MESSAGES)]) == SAID

    asyncio.run(scenario())


def test_langchain_embeddings(start: Callable[..., str]) -> None:
    url = f"{start()}/v1"
    with httpx.Client(trust_env=False, timeout=PATIENCE_S) as http:

        def embeddings(*, check: bool) -> OpenAIEmbeddings:
            named: Any = {"base_url": url, "api_key": "unused", "model": "hashing", "http_client": http}
            return OpenAIEmbeddings(**named, check_embedding_ctx_length=check)

        one, two = embeddings(check=False).embed_documents(["Honey bees sleep.", "Wasps never do."])
        assert len(one) == len(two) > 0
        assert one == embeddings(check=False).embed_query("Honey bees sleep.")


def test_as_open_webui_asks(start: Callable[..., str]) -> None:
    """Its requests by hand: a stream with usage, fields of its own, and sources from the annotations of deltas."""
    history = [*MESSAGES, {"role": "assistant", "content": SAID}, {"role": "user", "content": "And in spring?"}]
    body = {
        "model": "docs", "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 64,
        "messages": [{"role": "system", "content": "User Context: none."}, *history],
        "metadata": {"chat_id": "c"}, "chat_id": "c", "session_id": "s", "features": {"web_search": False},
    }  # fmt: skip
    with httpx.Client(base_url=start(), timeout=PATIENCE_S, trust_env=False) as http:
        assert "docs" in [model["id"] for model in http.get("/v1/models").json()["data"]]
        with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            lines = [line.removeprefix("data: ") for line in reply.iter_lines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [httpx.Response(200, content=line).json() for line in lines[:-1]]
    assert [chunk["usage"] for chunk in chunks if not chunk["choices"]] == [chunks[-1]["usage"]]
    annotations = [each for chunk in chunks[:-1] for each in chunk["choices"][0]["delta"].get("annotations", ())]
    assert {each["type"] for each in annotations} == {"url_citation"}
    assert all(set(each["url_citation"]) == {"url", "title", "start_index", "end_index"} for each in annotations)
