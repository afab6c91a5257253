"""create_app and its lifespan: the only place that constructs collaborators."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from anyio.to_thread import run_sync
from fastapi import FastAPI
from threadpoolctl import threadpool_limits

from indexes.catalog import Catalog
from indexes.ivf_pq import search_on_one_thread
from models.base import Embedder
from models.transformer import TransformerEmbedder
from service.api import batch, collections, documents, operations, problems, question
from service.api.body_limit import BodyLimit
from service.api.context import RequestContext
from service.api.services import Services
from service.batching import EmbeddingBatcher, device_thread
from service.generation.base import Generator
from service.generation.extractive import ExtractiveGenerator
from service.generation.openai import OpenAIGenerator
from service.ingest.ingestor import Ingestor
from service.library import Library
from service.rag import Rag
from service.sealer import Sealer
from service.settings import EXTRACTIVE, EmbeddingSettings, Settings
from service.telemetry.metrics import Metrics

_READER_THREADS = 4
_CPU_BATCH_TOKENS = 1024
_GPU_BATCH_TOKENS = 16_384

_log = logging.getLogger("quarry.app")


def create_app(settings: Settings, embedder: Embedder | None = None) -> FastAPI:
    """The application.

    Args:
        settings: everything an operator can set.
        embedder: None loads the one the settings name, when the application starts.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services = await _construct(stack, settings, embedder, metrics)
            _log.info("ready", extra={"collections": len(app.state.services.library.names())})
            yield

    app = FastAPI(
        title="Quarry",
        summary="Answers from your own documents, on your own node.",
        version="1",
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.max_body_bytes = settings.server.max_body_bytes
    app.add_middleware(BodyLimit, max_bytes=settings.server.max_body_bytes)
    app.add_middleware(RequestContext, metrics=metrics)
    problems.install(app, metrics)
    for module in (question, documents, batch, collections, operations):
        app.include_router(module.router)
    return app


async def _construct(
    stack: AsyncExitStack, settings: Settings, embedder: Embedder | None, metrics: Metrics
) -> Services:
    """One of each, in the order they need each other; the stack ends them in the reverse order."""
    catalog = await run_sync(Catalog, settings.data_dir, settings.index.seal_rows)
    stack.callback(catalog.close)
    # The forward's workers are the only ones that should span the cores: each search stays on the thread it is made on.
    stack.enter_context(threadpool_limits(1, user_api="blas"))
    device = device_thread()
    stack.callback(device.shutdown)
    if embedder is None:
        load = partial(_load_embedder, settings.embedding)
        embedder = await asyncio.get_running_loop().run_in_executor(device, load)
    library = Library(catalog, embedder.info, settings.chunking)
    sealer = await stack.enter_async_context(Sealer())
    batch_tokens = settings.embedding.max_batch_tokens or _batch_tokens(embedder)
    batcher = await stack.enter_async_context(
        EmbeddingBatcher(embedder, batch_tokens, settings.embedding.max_queued_tokens, metrics, device)
    )
    ingestor = stack.enter_context(Ingestor(library, embedder, batcher, settings.limits, metrics, sealer.notify))
    readers = stack.enter_context(
        ThreadPoolExecutor(_READER_THREADS, "quarry-reader", initializer=search_on_one_thread)
    )
    generators: dict[str, Generator] = {EXTRACTIVE: ExtractiveGenerator(batcher, settings.answer.min_score)}
    generators |= {name: OpenAIGenerator(llm) for name, llm in settings.llm.items()}
    for generator in generators.values():
        stack.push_async_callback(generator.close)
    for name in catalog.names():
        sealer.notify(catalog.get(name))
    return Services(
        settings=settings,
        metrics=metrics,
        embedder=embedder.info,
        library=library,
        batcher=batcher,
        generators=generators,
        rag=Rag(library, batcher, generators, readers, settings),
        ingestor=ingestor,
        sealer=sealer,
    )


def _load_embedder(settings: EmbeddingSettings) -> TransformerEmbedder:
    return TransformerEmbedder.load(settings.model, device=settings.device, dtype=settings.dtype)


def _batch_tokens(embedder: Embedder) -> int:
    return _CPU_BATCH_TOKENS if embedder.info.device == "cpu" else _GPU_BATCH_TOKENS
