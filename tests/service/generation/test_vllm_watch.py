"""Watching a vLLM server: the fake one, well and badly."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from loadtests.fake_vllm.options import Options
from loadtests.fake_vllm.server import FakeVllm, fake_vllm, served
from scripted_llm import eventually
from service.generation.chat_client import ChatClient
from service.generation.vllm_figures import Scrape
from service.generation.vllm_watch import VllmState, VllmWatch

PATIENCE_S = 200.0
MODEL = "m"
OpenApi = Callable[..., AbstractContextManager[httpx.Client]]


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(scenario, PATIENCE_S))


def ask(fake: FakeVllm, tokens: int) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hi"}], "max_tokens": tokens, "ignore_eos": True}
    with fake.client() as client:
        client.post("/v1/chat/completions", json=body).raise_for_status()


def watching(url: str) -> VllmWatch:
    return VllmWatch(ChatClient(url, None), every_s=0.005, patience_ms=100)


async def seen(watch: VllmWatch, condition: Callable[[VllmState], object]) -> VllmState:
    await eventually(lambda: condition(watch.describe()))
    return watch.describe()


def test_figures_come_and_their_age_is_told() -> None:
    async def scenario(fake: FakeVllm) -> None:
        async with watching(fake.url) as watch:
            assert watch.describe() == VllmState(None, "it was not asked yet", None)
            await seen(watch, lambda state: state.figures)
            await asyncio.to_thread(ask, fake, 8)
            state = await seen(watch, lambda state: state.figures.ttft and state.figures.itl)
            assert state.trouble is None
            assert state.age_s is not None
            assert 0 <= state.age_s < PATIENCE_S
            assert state.figures is not None
            assert state.figures.generation_tokens_per_s > 0
            assert state.figures.ttft.p50_s <= state.figures.ttft.p95_s

    with fake_vllm(Options(MODEL, itl_ms=1)) as fake:
        run(scenario(fake))


def test_a_server_that_hangs_leaves_old_figures_and_says_so_and_comes_back() -> None:
    async def scenario(fake: FakeVllm) -> None:
        async with watching(fake.url) as watch:
            await seen(watch, lambda state: state.figures)
            await asyncio.to_thread(fake.script, engine="frozen")
            state = await seen(watch, lambda state: state.trouble)
            assert "within 0.1 s" in str(state.trouble)
            assert state.figures is not None
            age_s = state.age_s
            assert age_s is not None
            await seen(watch, lambda state: state.age_s > age_s)
            await asyncio.to_thread(fake.script)
            await seen(watch, lambda state: state.trouble is None and state.figures)

    with fake_vllm(Options(MODEL)) as fake:
        run(scenario(fake))


def test_a_server_that_is_gone_or_no_vllm_has_no_figures(tmp_path: Path) -> None:
    async def scenario(url: str, trouble: str) -> None:
        async with watching(url) as watch:
            state = await seen(watch, lambda state: trouble in str(state.trouble))
            assert (state.age_s, state.figures) == (None, None)

    async def other(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>"})

    run(scenario(f"unix://{tmp_path / 'nobody.sock'}", "cannot be reached"))
    with served(other) as url:
        run(scenario(url, "not vLLM's"))


def test_metrics_are_read_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    read, of = list[threading.Thread](), Scrape.of

    def noted(text: str, at: float) -> Scrape:
        read.append(threading.current_thread())
        return of(text, at)

    async def scenario(fake: FakeVllm) -> None:
        monkeypatch.setattr(Scrape, "of", noted)
        async with by_hand(fake.url) as watch:
            await watch.look()
        assert read
        assert threading.current_thread() not in read

    with fake_vllm(Options(MODEL)) as fake:
        run(scenario(fake))


def test_more_than_a_server_has_to_say_is_not_read() -> None:
    async def scenario(url: str) -> None:
        async with watching(url) as watch:
            state = await seen(watch, lambda state: "exceeds 1048576 bytes" in str(state.trouble))
            assert state.figures is None

    async def endless(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"vllm:num_requests_running 1\n" * 40_000})

    with served(endless) as url:
        run(scenario(url))


def test_what_was_not_foreseen_is_said_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    asked = 0

    async def scenario() -> None:
        async with watching("http://127.0.0.1:9") as watch:
            watch.look = look  # type: ignore[method-assign]
            await eventually(lambda: asked >= 9)

    async def look() -> None:
        nonlocal asked
        asked += 1
        raise KeyError(asked) if asked < 5 else TypeError(asked)

    run(scenario())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError, TypeError]


@asynccontextmanager
async def by_hand(url: str, window_s: float = 3600.0) -> AsyncIterator[VllmWatch]:
    """One that looks when the test does."""
    client = ChatClient(url, None)
    try:
        yield VllmWatch(client, window_s=window_s)
    finally:
        await client.aclose()


def test_a_server_that_began_anew_begins_a_new_window(tmp_path: Path) -> None:
    socket = tmp_path / "vllm.sock"

    async def scenario() -> None:
        async with by_hand(f"unix://{socket}") as watch:
            for tokens in (8, 2):
                with fake_vllm(Options(MODEL, itl_ms=1), socket) as fake:
                    await asyncio.to_thread(ask, fake, tokens)
                    await watch.look()
                    await watch.look()
                figures = watch.describe().figures
                assert figures is not None
                assert figures.generation_tokens_per_s == 0.0  # all of them were before the first look at this one

    run(scenario())


def test_what_is_older_than_the_window_is_forgotten() -> None:
    async def scenario(fake: FakeVllm) -> None:
        async with by_hand(fake.url, window_s=0.0) as watch:
            for _ in range(3):
                await watch.look()
                figures = watch.describe().figures
                assert figures is not None
                assert figures.window_s == 0.0

    with fake_vllm(Options(MODEL)) as fake:
        run(scenario(fake))


@pytest.mark.parametrize("engine", ["ok", "frozen"])
def test_the_status_never_waits_for_the_server_and_leaves_out_others(
    open_api: OpenApi, tmp_path: Path, engine: str
) -> None:
    with fake_vllm(Options(MODEL), tmp_path / "vllm.sock") as fake:
        fake.script(engine=engine)
        vllm = {"url": fake.url, "model": MODEL, "server": "vllm"}
        with open_api(llm={"main": vllm, "other": {"url": "http://127.0.0.1:9", "model": "x"}}) as api:
            status = api.get("/v1/status").raise_for_status().json()
            while engine == "ok" and status["vllm"]["main"]["figures"] is None:
                status = api.get("/v1/status").raise_for_status().json()
        assert set(status["vllm"]) == {"main"}
        found = status["vllm"]["main"]
        if engine == "ok":
            assert found["trouble"] is None
            assert (found["figures"]["running"], found["figures"]["kv_cache_usage"]) == (0.0, 0.0)
        else:
            assert found["figures"] is None
            assert found["trouble"]
