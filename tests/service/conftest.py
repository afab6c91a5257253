"""The application in process, an engine without it, and a language model's server that follows a script."""

import asyncio
import math
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import httpx
import orjson
import pytest
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from models.base import DeviceMemoryError, Embedder, Launched, TextKind, TokenIds, Vectors
from models.hashing import HashingEmbedder
from scripted_memory import ScriptedMemory
from service.admission import EngineLimits
from service.api.connection import Listening
from service.app import Outside, create_app
from service.batching import Asker, Embedded, EmbeddingBatcher
from service.bulk_hold import BulkHold
from service.call import Told
from service.engine import Engine
from service.ingest.parser import Parser
from service.measured_memory import Memory
from service.query_cache import QueryCache
from service.scheduling.capacity import Capacity, CostModel
from service.scheduling.job import Lane
from service.scheduling.scheduler import Policy
from service.served_model import ServedModel
from service.settings import Settings
from service.spending import Spent, uncounted
from service.telemetry.gpu import AbsentGpus, GpuReader
from service.telemetry.metrics import Metrics

READY_WITHIN_S = 200.0
PATIENCE_S = 200.0
ROOMY = 1_000_000
FOR_EVER_S = 1e6
# A millisecond a thousand tokens: nothing waits long.
CHEAP = ((1, 1e-6), (1000, 1e-3))


class Scripted:
    """An embedder that records its batches, waits at gates, runs out of memory and fails when told to.

    Attributes:
        batches: that a forward was begun for.
        tokenized: texts in the order they were tokenized.
        failures: what the next forwards raise, one each.
        fitting: most tokens of a forward that fit into memory.
        threads: what ran where.
        gate: forwards wait for it.
        tokenizing: so do texts that are tokenized.
    """

    def __init__(self, inner: Embedder | None = None, *, name: str | None = None, is_open: bool = True) -> None:
        self._inner = inner or HashingEmbedder()
        self.info = replace(self._inner.info, name=name or self._inner.info.name)
        self.batches: list[list[TokenIds]] = []
        self.tokenized: list[str] = []
        self.failures: deque[BaseException] = deque()
        self.fitting = math.inf
        self.threads: set[str] = set()
        self.gate, self.tokenizing = threading.Event(), threading.Event()
        self.tokenizing.set()
        self._entered, self._begun = threading.Semaphore(0), threading.Semaphore(0)
        if is_open:
            self.gate.set()

    def tokenize(self, texts: Sequence[str], kind: TextKind) -> list[TokenIds]:
        self._runs("tokenize")
        self.tokenized += texts
        self._begun.release()
        assert self.tokenizing.wait(PATIENCE_S)
        return self._inner.tokenize(texts, kind)

    def count_tokens(self, text: str) -> int:
        return self._inner.count_tokens(text)

    def launch(self, batch: Sequence[TokenIds]) -> Launched:
        self._runs("launch")
        self.batches.append(list(batch))
        self._entered.release()
        assert self.gate.wait(PATIENCE_S)
        if self.failures:
            raise self.failures.popleft()
        tokens = sum(map(len, batch))
        if tokens > self.fitting:
            raise DeviceMemoryError(f"{tokens} tokens did not fit")
        return self._inner.launch(batch)

    def embed(self, batch: Sequence[TokenIds]) -> Vectors:
        return self.launch(batch).result()

    def warm_up(self, tokens: int) -> int:
        return self._inner.warm_up(tokens)

    async def entered(self) -> None:
        """A forward has begun."""
        assert await asyncio.to_thread(self._entered.acquire, timeout=PATIENCE_S)

    async def begun(self) -> None:
        """Tokenizing has begun."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=PATIENCE_S)

    def saw(self, text: str) -> bool:
        """Whether a word of it went through a forward."""
        seen = {token for batch in self.batches for ids in batch for token in ids}
        return not seen.isdisjoint(self._inner.tokenize([text], TextKind.QUERY)[0])

    def lengths(self) -> list[list[int]]:
        """Tokens of each text of each batch."""
        return [[len(ids) for ids in batch] for batch in self.batches]

    def _runs(self, what: str) -> None:
        self.threads.add(f"{what} on {threading.current_thread().name.rstrip('_0123456789')}")


@dataclass
class OpenedEngine:
    """An engine that runs, and what a test asks of it."""

    engine: Engine
    batchers: Sequence[EmbeddingBatcher]
    metrics: Metrics
    lost: list[str] = field(default_factory=list)
    hold: BulkHold = field(default_factory=BulkHold)

    def asked(self, *texts: str, lane: Lane = Lane.BULK, of: int = 0, **asker: Any) -> "asyncio.Task[Embedded]":  # noqa: ANN401
        """A call of the batcher number ``of``; ``key`` and ``deadline`` say who asks."""
        call = self.batchers[of].embed(texts, TextKind.DOCUMENT, lane, Asker(**asker))
        return asyncio.create_task(call)

    def queued(self) -> int:
        """Tokens that wait in both lanes."""
        return sum(self.engine.queued_tokens(lane) for lane in Lane)

    async def waiting(self, tokens: int) -> None:
        """The lanes hold ``tokens``; short texts get there in one turn of the loop."""
        while self.queued() != tokens:  # noqa: ASYNC110  the engine announces no change of it
            await asyncio.sleep(0)

    def value(self, name: str, **labels: str) -> float:
        """A sample of the metrics; 0 where nothing was counted yet."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def scripted_memory() -> ScriptedMemory:
    """Half of it is taken until the test says otherwise."""
    return ScriptedMemory()


@pytest.fixture
def scripted() -> type[Scripted]:
    """The class, for what a test asks of the device."""
    return Scripted


@pytest.fixture
def open_engine() -> Callable[..., AbstractAsyncContextManager[OpenedEngine]]:
    """(*embedders, budget=..., queue=...) -> an engine that serves them, with a batcher for each."""

    @asynccontextmanager
    async def opened(
        *embedders: Embedder,
        budget: int = ROOMY,
        queue: int = ROOMY,
        wait_s: float = math.inf,
        stall_s: float = 60.0,
        depth: int = 1,
        ageing_s: float = FOR_EVER_S,
        cost: Sequence[tuple[int, float]] = CHEAP,
        cache_bytes: int = 0,
        spent: Spent = uncounted,
    ) -> AsyncIterator[OpenedEngine]:
        metrics, lost = Metrics(), []
        served = {
            embedder.info.name: ServedModel(
                embedder, embedder.info.dimension, Capacity(budget, CostModel(cost), FOR_EVER_S)
            )
            for embedder in embedders
        }
        device = ThreadPoolExecutor(1, thread_name_prefix="quarry-device")
        policy, limits = Policy(depth, ageing_s), EngineLimits(queue, wait_s, stall_s)
        engine = Engine(
            served, policy, limits, metrics.device, device, Told(lost=lambda: lost.append("lost"), spent=spent)
        )
        async with engine:
            cache = QueryCache(cache_bytes, metrics.device)
            hold = BulkHold()
            batchers = [EmbeddingBatcher(embedder, engine, cache, hold) for embedder in embedders]
            yield OpenedEngine(engine, batchers, metrics, lost, hold)

    return opened


class _InProcess(httpx.BaseTransport):
    """Requests to an application whose event loop runs in a thread."""

    def __init__(self, portal: BlockingPortal, app: FastAPI) -> None:
        self._portal = portal
        self._asgi = httpx.ASGITransport(app, raise_app_exceptions=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._portal.call(self._handle, request, request.read())

    async def _handle(self, request: httpx.Request, body: bytes) -> httpx.Response:
        # With a stream instead of content httpx adds no Content-Length to a chunked request.
        sent = httpx.Request(request.method, request.url, headers=request.headers, stream=httpx.ByteStream(body))
        response = await self._asgi.handle_async_request(sent)
        return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())


@pytest.fixture
def open_api(tmp_path: Path) -> Iterator[Callable[..., AbstractContextManager[httpx.Client]]]:
    """(embedder=..., link=..., gpus=..., memory=..., **settings) -> the application on this test's data directory."""
    with start_blocking_portal() as portal:

        @contextmanager
        def opened(
            embedder: Embedder | None = None,
            link: int | None = None,
            gpus: GpuReader | None = None,
            parser: Parser | None = None,
            memory: Memory | None = None,
            **settings: object,
        ) -> Iterator[httpx.Client]:
            configured = Settings(data_dir=tmp_path / "data", **settings)
            reader = gpus or AbsentGpus("a test")
            outside = Outside(
                embedder or HashingEmbedder(),
                parser=parser,
                link=link,
                open_gpus=lambda _: reader,
                memory=memory or ScriptedMemory(),
            )
            app = create_app(configured, outside)
            with (
                portal.wrap_async_context_manager(app.router.lifespan_context(app)),
                httpx.Client(transport=_InProcess(portal, app), base_url="http://localhost") as client,
            ):
                yield client

        yield opened


@pytest.fixture
def api(open_api: Callable[..., AbstractContextManager[httpx.Client]]) -> Iterator[httpx.Client]:
    """The application with default settings and the hashing embedder."""
    with open_api() as client:
        yield client


@pytest.fixture
def problem() -> Callable[[httpx.Response, int, str], dict[str, Any]]:
    """(response, status, code) -> the problem's body, after every field that api.md promises was looked at."""

    def checked(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        body: dict[str, Any] = response.json()
        assert set(body) == {
            "type", "title", "status", "detail", "instance", "request_id", "stage", "retryable", "error",
            "timings_ms",
        }  # fmt: skip
        timings = body["timings_ms"]
        stages = [took for stage, took in timings.items() if stage not in {"total", "llm_ttft", "llm_itl"}]
        assert timings["total"] == pytest.approx(sum(stages), abs=0.001 * (1 + len(stages)))
        assert "total;dur=" in response.headers["server-timing"]
        assert body["status"] == status
        assert body["type"] == f"urn:quarry:problem:{code}"
        assert body["instance"].startswith("/")
        assert body["request_id"] == response.headers["x-request-id"]
        assert body["error"]["code"] == code
        assert body["error"]["message"] == body["detail"]
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert ("retry-after" in response.headers) == body["retryable"]
        return body

    return checked


@pytest.fixture
def llm_requests() -> list[dict[str, Any]]:
    """Bodies that the scripted language model was sent."""
    return []


@pytest.fixture
def language_model(llm_requests: list[dict[str, Any]], tmp_path: Path) -> Iterator[Callable[..., str]]:
    """(pieces, status=200, end="") -> address of a server that answers each request with these pieces of a body.

    ``end`` "stall" then sends nothing more, "trickle" comments for ever, "cut" breaks the connection; ``socket=True``
    listens on a Unix socket.
    """
    with ExitStack() as stack:

        def start(pieces: Sequence[bytes], status: int = 200, end: str = "", *, socket: bool = False) -> str:
            app = _scripted(pieces, status, end, llm_requests)
            path = str(tmp_path / "llm.sock") if socket else None
            return stack.enter_context(_running(app, path))

        yield start


def _scripted(pieces: Sequence[bytes], status: int, end: str, requests: list[dict[str, Any]]) -> FastAPI:
    app = FastAPI()

    async def body(request: Request) -> Any:  # noqa: ANN401  an async generator
        for piece in pieces:
            yield piece
        while end in {"stall", "trickle"} and not await request.is_disconnected():
            if end == "trickle":
                yield b": still here\n\n"
            await asyncio.sleep(0.01)  # nothing but asking again tells that the client left
        if end == "cut":
            raise ConnectionError("cut on purpose")

    @app.post("/v1/chat/completions")
    async def completions(request: Request) -> Response:
        requests.append(orjson.loads(await request.body()) | {"authorization": request.headers.get("authorization")})
        if status != httpx.codes.OK:
            return Response(b"".join(pieces), status)
        return StreamingResponse(body(request), media_type="text/event-stream")

    return app


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """(embedder=..., gpus=..., **settings) -> address of the application, served from a thread."""
    with ExitStack() as stack:

        def start(embedder: Embedder | None = None, gpus: GpuReader | None = None, **settings: object) -> str:
            reader = gpus or AbsentGpus("a test")
            outside = Outside(embedder or HashingEmbedder(), open_gpus=lambda _: reader, memory=ScriptedMemory())
            app = create_app(Settings(data_dir=tmp_path / "served", **settings), outside)
            return stack.enter_context(_running(app, None, lifespan="on"))

        yield start


@contextmanager
def _running(app: FastAPI, socket_path: str | None, lifespan: Literal["on", "off"] = "off") -> Iterator[str]:
    address: dict[str, Any] = {"uds": socket_path} if socket_path else {"host": "127.0.0.1", "port": 0}
    server = _Announced(_config(app, **address, log_level="error", lifespan=lifespan))
    thread = threading.Thread(target=server.run, name="server-of-a-test")
    thread.start()
    try:
        assert server.ready.wait(READY_WITHIN_S)
        port = 0 if socket_path else server.servers[0].sockets[0].getsockname()[1]
        yield f"unix://{socket_path}" if socket_path else f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


def _config(app: FastAPI, **options: Any) -> uvicorn.Config:  # noqa: ANN401  as uvicorn has them
    """Ours with our way of treating connections, any other application as uvicorn would."""
    if hasattr(app.state, "connections"):
        return Listening(app, app.state.connections, **options)
    return uvicorn.Config(app, log_config=None, ws="none", **options)


class _Announced(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()
