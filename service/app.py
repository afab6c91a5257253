"""create_app and its lifespan: the only place that constructs collaborators."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from anyio.to_thread import run_sync
from fastapi import FastAPI
from threadpoolctl import threadpool_limits

from indexes.catalog import Catalog
from indexes.errors import StoreUnavailableError
from indexes.ivf_pq import search_on_one_thread
from indexes.upkeep import IndexPolicy
from models.base import Embedder, EmbedderInfo, RerankerInfo
from models.device import gpu_uuids
from service.admission import EngineLimits
from service.api import (
    admin,
    aliases,
    batch,
    collections,
    documents,
    embeddings,
    operations,
    problems,
    question,
    rerank,
    upkeep,
)
from service.api.body_limit import BodyLimit
from service.api.context import RequestContext
from service.api.services import Services
from service.batching import EmbeddingBatcher
from service.embedders import Embedders
from service.engine import Engine
from service.generation.base import Generator
from service.generation.extractive import ExtractiveGenerator
from service.generation.openai import OpenAIGenerator
from service.index_policy import index_policy
from service.ingest.document_embedder import DocumentEmbedder
from service.ingest.ingestor import Ingestor
from service.ingest.mirror import Mirror
from service.ingest.purger import Purger
from service.library import Library
from service.loaded_models import LoadedModels
from service.maintenance import Maintenance
from service.measured_ledger import MeasuredLedger, Placed
from service.operator import Operator
from service.query_cache import QueryCache
from service.rag import Rag
from service.reembedding import Reembedder
from service.reranking import RerankBatcher
from service.settings import EXTRACTIVE, EmbeddingSettings, Settings
from service.telemetry.gpu import GpuReader
from service.telemetry.gpu_watch import GpuWatch
from service.telemetry.metrics import Metrics
from service.telemetry.nvml import open_gpus

OpenGpus = Callable[[Mapping[str, str]], GpuReader]

_READER_THREADS = 4

_log = logging.getLogger("quarry.app")


def create_app(
    settings: Settings,
    embedder: Embedder | None = None,
    on_lost: Callable[[], None] = lambda: None,
    open_gpus: OpenGpus = open_gpus,
) -> FastAPI:
    """The application.

    Args:
        settings: everything an operator can set.
        embedder: the default one; None loads what the settings name, when the application starts.
        on_lost: called when the device is lost and the process should be started again.
        open_gpus: makes what reads the GPUs, given the UUIDs of those that CUDA names.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services = await _construct(stack, settings, embedder, metrics, on_lost, open_gpus)
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
    for module in (question, embeddings, rerank, documents, batch, collections, aliases, upkeep, operations, admin):
        app.include_router(module.router)
    return app


async def _construct(
    stack: AsyncExitStack,
    settings: Settings,
    embedder: Embedder | None,
    metrics: Metrics,
    on_lost: Callable[[], None],
    open_gpus: OpenGpus,
) -> Services:
    """One of each, in the order they need each other; the stack ends them in the reverse order."""
    policy = await run_sync(index_policy, settings.index)
    catalog = await run_sync(Catalog, settings.data_dir, policy)
    stack.callback(catalog.close)
    # The forward's workers are the only ones that should span the cores: each search stays on the thread it is made on.
    stack.enter_context(threadpool_limits(1, user_api="blas"))
    device = ThreadPoolExecutor(1, thread_name_prefix="quarry-device")
    stack.callback(device.shutdown, wait=False)  # the engine waits as long as makes sense
    load = partial(LoadedModels.load, settings.embedding, settings.rerank, embedder)
    models = await asyncio.get_running_loop().run_in_executor(device, load)
    engine = await stack.enter_async_context(
        Engine(
            models.served(),
            models.policy(settings.embedding),
            _limits(settings.embedding),
            metrics.device,
            device,
            on_lost,
        )
    )
    cache = QueryCache(settings.embedding.cache_bytes, metrics.device)
    embedders = Embedders([EmbeddingBatcher(loaded.model, engine, cache) for loaded in models.embedders])
    library = Library(catalog, embedders.infos(), settings.chunking, settings.index.target_recall)
    maintenance = await stack.enter_async_context(Maintenance(metrics.index))
    document_embedder, mirror = stack.enter_context(DocumentEmbedder(embedders)), Mirror(catalog)
    ingestor = stack.enter_context(
        Ingestor(library, document_embedder, mirror, settings.limits, metrics, maintenance.notify)
    )
    readers = stack.enter_context(
        ThreadPoolExecutor(_READER_THREADS, "quarry-reader", initializer=search_on_one_thread)
    )
    generators: dict[str, Generator] = {EXTRACTIVE: ExtractiveGenerator(settings.answer.min_score)}
    generators |= {name: OpenAIGenerator(llm, settings.llm_url(name)) for name, llm in settings.llm.items()}
    for generator in generators.values():
        stack.push_async_callback(generator.close)
    for name in catalog.names():
        _look_at(name, catalog, maintenance)
    reembedder = await stack.enter_async_context(Reembedder(library, mirror, document_embedder, maintenance.notify))
    watch = await stack.enter_async_context(GpuWatch(partial(_gpus, models.infos(), policy, open_gpus)))
    placed = Placed(policy.device, policy.memory_there)
    operator = stack.enter_context(Operator(library, Purger(mirror), metrics, maintenance.notify))
    return Services(
        settings=settings,
        metrics=metrics,
        engine=engine,
        library=library,
        embedders=embedders,
        reranker=RerankBatcher(models.reranker.model, engine) if models.reranker else None,
        generators=generators,
        rag=Rag(library, embedders, generators, readers, settings, maintenance.notify),
        ingestor=ingestor,
        maintenance=maintenance,
        reembedder=reembedder,
        operator=operator,
        ledger=MeasuredLedger(models.infos(), library, placed, cache, settings.llm, watch),
    )


def _gpus(models: Sequence[EmbedderInfo | RerankerInfo], policy: IndexPolicy, open_gpus: OpenGpus) -> GpuReader:
    """A reader that names the devices as CUDA does, where this process uses CUDA: it is not started for the names."""
    uses_cuda = policy.device != "cpu" or any(info.device != "cpu" for info in models)
    return open_gpus(gpu_uuids() if uses_cuda else {})


def _look_at(name: str, catalog: Catalog, maintenance: Maintenance) -> None:
    """Say what of a collection is damaged, and do what is due; the others serve whatever one of them meets."""
    try:
        collections = catalog.route(name).collections
    except StoreUnavailableError as error:
        _log.error("%s", error)
        return
    for collection in collections:
        for trouble in collection.upkeep.trouble:
            _log.warning("collection %s: %s", name, trouble)
        maintenance.notify(collection)


def _limits(settings: EmbeddingSettings) -> EngineLimits:
    return EngineLimits(settings.max_queued_tokens, settings.max_wait_ms / 1000, settings.stall_s)
