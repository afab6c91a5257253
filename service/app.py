"""create_app and its lifespan: the only place that constructs collaborators."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from anyio.to_thread import run_sync
from fastapi import FastAPI
from threadpoolctl import threadpool_limits

from indexes.catalog import Catalog
from indexes.errors import StoreUnavailableError
from indexes.ivf_pq import search_on_one_thread
from models.base import Embedder
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
from service.api.drain import Drain, DrainGate
from service.api.services import Services
from service.batching import EmbeddingBatcher
from service.bulk_hold import BulkHold
from service.conversation import Conversation
from service.embedders import Embedders
from service.engine import Engine
from service.generation.base import Generator
from service.generation.extractive import ExtractiveGenerator
from service.generation.openai import OpenAIGenerator
from service.generation.supervision import Supervision
from service.generators import Generators
from service.index_policy import index_policy
from service.ingest.document_embedder import DocumentEmbedder
from service.ingest.ingestor import Ingestor
from service.ingest.mirror import Mirror
from service.ingest.purger import Purger
from service.ladder import Ladder
from service.library import Library
from service.loaded_models import LoadedModels
from service.maintenance import Maintenance
from service.operator import Operator
from service.pace import Pace
from service.planner import Planner
from service.query_cache import QueryCache
from service.rag import Rag
from service.reembedding import Reembedder
from service.reranking import RerankBatcher
from service.retriever import Retriever
from service.settings import EXTRACTIVE, EmbeddingSettings, Settings
from service.supervised import Supervised
from service.telemetry.metrics import Metrics

_READER_THREADS = 4

_log = logging.getLogger("quarry.app")


def create_app(
    settings: Settings,
    embedder: Embedder | None = None,
    on_lost: Callable[[], None] = lambda: None,
    link: int | None = None,
) -> FastAPI:
    """The application.

    Args:
        settings: everything an operator can set.
        embedder: the default one; None loads what the settings name, when the application starts.
        on_lost: called when the device is lost and the process should be started again.
        link: descriptor of the link to `quarry up`, which closes with the application; None where nobody supervises.
    """
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.services = await _construct(stack, settings, embedder, metrics, _Outside(on_lost, link))
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
    app.state.drain = Drain()
    app.add_middleware(DrainGate, drain=app.state.drain)
    app.add_middleware(RequestContext, metrics=metrics)
    problems.install(app, metrics)
    for module in (question, embeddings, rerank, documents, batch, collections, aliases, upkeep, operations, admin):
        app.include_router(module.router)
    return app


@dataclass(frozen=True, slots=True)
class _Outside:
    """What ``create_app`` was given to speak with whoever runs the process."""

    on_lost: Callable[[], None]
    link: int | None


async def _construct(
    stack: AsyncExitStack, settings: Settings, embedder: Embedder | None, metrics: Metrics, outside: _Outside
) -> Services:
    """One of each, in the order they need each other; the stack ends them in the reverse order."""
    catalog = await run_sync(Catalog, settings.data_dir, await run_sync(index_policy, settings.index))
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
            outside.on_lost,
        )
    )
    supervisions = {name: Supervision() for name in settings.llm}
    managed = {name: supervisions[name] for name, llm in settings.llm.items() if llm.managed}
    hold = BulkHold()
    supervised = await stack.enter_async_context(Supervised(outside.link, managed, hold))
    cache = QueryCache(settings.embedding.cache_bytes, metrics.device)
    embedders = Embedders([EmbeddingBatcher(loaded.model, engine, cache, hold) for loaded in models.embedders])
    library = Library(catalog, embedders.infos(), settings.chunking, settings.index.target_recall)
    maintenance = await stack.enter_async_context(Maintenance(metrics.index, hold))
    document_embedder, mirror = stack.enter_context(DocumentEmbedder(embedders)), Mirror(catalog)
    ingestor = stack.enter_context(
        Ingestor(library, document_embedder, mirror, settings.limits, metrics, maintenance.notify)
    )
    readers = stack.enter_context(
        ThreadPoolExecutor(_READER_THREADS, "quarry-reader", initializer=search_on_one_thread)
    )
    generators: dict[str, Generator] = {EXTRACTIVE: ExtractiveGenerator(settings.answer.min_score)}
    for name, llm in settings.llm.items():
        generators[name] = OpenAIGenerator(llm, settings.llm_url(name), supervisions[name], metrics.llm.of(name))
    for generator in generators.values():
        stack.push_async_callback(generator.close)
        await generator.start()
    pace = Pace()
    retriever = Retriever(library, embedders, readers, settings, pace, maintenance.notify)
    for name in catalog.names():
        _look_at(name, catalog, maintenance)
    reembedder = await stack.enter_async_context(Reembedder(library, mirror, document_embedder, maintenance.notify))
    operator = stack.enter_context(Operator(library, Purger(mirror), metrics, maintenance.notify, hold))
    return Services(
        settings=settings,
        metrics=metrics,
        engine=engine,
        library=library,
        embedders=embedders,
        reranker=RerankBatcher(models.reranker.model, engine) if models.reranker else None,
        generators=generators,
        rag=_rag(library, Generators(generators, settings.default_llm), retriever, pace, settings),
        ingestor=ingestor,
        maintenance=maintenance,
        reembedder=reembedder,
        operator=operator,
        supervised=supervised,
    )


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


def _rag(library: Library, generators: Generators, retriever: Retriever, pace: Pace, settings: Settings) -> Rag:
    return Rag(
        Planner(library, generators, retriever, pace, settings.answer),
        Conversation(generators, settings),
        retriever,
        Ladder(generators, retriever, pace, settings),
    )
