"""Construction: everything that an application is made of, one of each, in the order in which they need each other."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from anyio.to_thread import run_sync
from threadpoolctl import threadpool_limits

from indexes.catalog import Catalog
from indexes.errors import StoreUnavailableError
from indexes.ivf_pq import search_on_one_thread
from indexes.placement import IndexMemory
from models.base import EmbedderInfo, RerankerInfo
from models.device import gpu_uuids
from service.access.key import KeyLimits
from service.access.limits import Limits
from service.admission import EngineLimits
from service.api import batch, problems
from service.api.services import Services, Writing
from service.backlog import Backlog, BacklogLimits
from service.batching import EmbeddingBatcher
from service.bulk_hold import BulkHold
from service.call import Told
from service.content.base import Screen
from service.content.configured import configured_screen
from service.conversation import Conversation
from service.embedders import Embedders
from service.engine import Engine
from service.generation.base import Generator
from service.generation.chat_client import ChatClient
from service.generation.extractive import ExtractiveGenerator
from service.generation.openai import OpenAIGenerator
from service.generation.supervision import Supervision
from service.generation.tokens import LocalTokens, TokenCounter
from service.generation.vllm_watch import VllmWatch
from service.generators import Generators
from service.ingest.document_embedder import DocumentEmbedder
from service.ingest.ingestor import Ingestor
from service.ingest.jobs.board import JobBoard
from service.ingest.jobs.intake import Intake
from service.ingest.jobs.job_purge import LiveJobPurge
from service.ingest.jobs.runner import JobRunner
from service.ingest.jobs.store import FOLDER, JobStore, open_or_set_aside
from service.ingest.jobs.taking_up import has_its_collection, take_up
from service.ingest.jobs.work import JobWork
from service.ingest.mirror import Mirror
from service.ingest.parser import Parser
from service.ingest.parsing.child_parsers import ChildParsers
from service.ingest.parsing.kept_fork_server import KeptForkServer
from service.ingest.purger import Purger
from service.ladder import Ladder
from service.library import Library
from service.llm_settings import LlmSettings, server_name
from service.loaded_models import LoadedModels
from service.maintenance import Maintenance
from service.measured_ledger import MeasuredLedger, Placed
from service.measured_memory import MeasuredMemory
from service.memory_watch import MemoryWatch
from service.milvus_watch import MilvusWatch
from service.opened_catalog import FollowedCatalog, OwnedCatalog, followed_catalog, owned_catalog
from service.operator import Operator
from service.outside import Outside
from service.pace import Pace
from service.planner import Planner
from service.queried_library import QueriedLibrary
from service.query_cache import QueryCache
from service.rag import Rag
from service.rechecks import Rechecks
from service.reembedding import Reembedder
from service.reordering import Reorderer
from service.reranking import RerankBatcher
from service.results.remembered import RememberedResults
from service.retriever import Retriever
from service.searcher import Searcher
from service.settings import EXTRACTIVE, Settings
from service.sharing import Sharing, open_sharing
from service.spending import Spent
from service.supervised import Supervised
from service.telemetry.gpu import GpuReader
from service.telemetry.gpu_watch import GpuWatch
from service.telemetry.metrics import Metrics
from service.watermark import Watermarks

_READER_THREADS = 4

_log = logging.getLogger("quarry.app")


@dataclass(frozen=True, slots=True)
class _Owned:
    """What a writer has, and a replica has not."""

    catalog: Catalog
    library: Library
    maintenance: Maintenance


@dataclass(frozen=True, slots=True)
class _Base:
    """What questions stand on, and writes where there are some."""

    placed: Placed
    milvus: MilvusWatch | None
    shared: Sharing
    limits: Limits
    models: LoadedModels
    engine: Engine
    cache: QueryCache
    hold: BulkHold
    supervised: Supervised
    embedders: Embedders
    library: QueriedLibrary
    owned: _Owned | None


@dataclass(frozen=True, slots=True)
class Construction:
    """How one of each comes about; the stack ends them in the reverse order.

    Args:
        outside: what is given rather than made.
    """

    stack: AsyncExitStack
    settings: Settings
    metrics: Metrics
    outside: Outside

    async def services(self) -> Services:
        """All of them, running."""
        settings = self.settings
        screen = await configured_screen(settings.content.rules, self.metrics.count_content)  # before models load
        # Before models load, as nobody else may have the data directory.
        opened = await (followed_catalog if settings.server.role == "replica" else owned_catalog)(self.stack, settings)
        managed = {name: Supervision() for name, llm in settings.llm.items() if llm.managed}
        base = await self._base(managed, opened)
        own = await self._writing(base, base.owned) if base.owned else None
        generators = await self._generators(managed, base.limits.spent)
        pace, limits = Pace(), settings.limits
        backlog = Backlog("questions", BacklogLimits(2 * _READER_THREADS, limits.questions, limits.wait_ms / 1000))
        self.metrics.follow(backlog)
        reranker = RerankBatcher(base.models.reranker.model, base.engine) if base.models.reranker else None
        readers = self.stack.enter_context(
            ThreadPoolExecutor(_READER_THREADS, "quarry-reader", initializer=search_on_one_thread)
        )
        ledger = await self._ledger(base)
        return Services(
            settings=settings,
            metrics=self.metrics,
            keys=base.shared.keys,
            shared=base.shared,
            limits=base.limits,
            engine=base.engine,
            library=base.library,
            embedders=base.embedders,
            reranker=reranker,
            generators=generators,
            pools={name: one.pool for name, one in generators.items() if isinstance(one, OpenAIGenerator)},
            backlog=backlog,
            rag=self._rag(base, self._retriever(base, readers, reranker, pace), pace, generators, screen, backlog),
            readers=readers,
            screen=screen,
            own=own,
            milvus=base.milvus,
            supervised=base.supervised,
            ledger=ledger,
            hold=base.hold,
            memory=await self._memory(base, ledger),
            vllms=await self._vllms(),
        )

    async def _base(self, managed: Mapping[str, Supervision], opened: OwnedCatalog | FollowedCatalog) -> _Base:
        settings, metrics, hold = self.settings, self.metrics, BulkHold()
        shared = await open_sharing(self.stack, settings, metrics)  # under the lock: nobody changes keys beside it
        limits = await self.stack.enter_async_context(self._limits(shared))
        models, engine = await self._models(limits.spent)
        supervised = await self.stack.enter_async_context(Supervised(self.outside.link, managed, hold))
        cache = QueryCache(settings.embedding.cache_bytes, metrics.device)
        embedders = Embedders([EmbeddingBatcher(loaded.model, engine, cache, hold) for loaded in models.embedders])
        if isinstance(opened, FollowedCatalog):
            placed, owned = Placed("cpu", IndexMemory), None
            library = QueriedLibrary(opened.catalog, embedders.infos(), opened.milvus.seek)
        else:
            placed = Placed(opened.policy.device, opened.policy.memory_there)
            owned = await self._owned(opened.catalog, embedders, hold)
            library = owned.library
        return _Base(
            placed, opened.milvus, shared, limits, models, engine, cache, hold, supervised, embedders, library, owned
        )

    async def _owned(self, catalog: Catalog, embedders: Embedders, hold: BulkHold) -> _Owned:
        settings = self.settings
        recall, language = settings.index.target_recall, settings.retrieval.language
        library = Library(catalog, embedders.infos(), settings.chunking, recall, language)
        maintenance = await self.stack.enter_async_context(Maintenance(self.metrics.index, hold, catalog.name_of))
        for name in catalog.names():
            _look_at(name, catalog, maintenance)
        return _Owned(catalog, library, maintenance)

    async def _writing(self, base: _Base, owned: _Owned) -> Writing:
        parsers = await self._parsers()
        documents = DocumentEmbedder(base.embedders, with_sentences=self.settings.answer.sentence_vectors)
        mirror, library, notify = Mirror(owned.catalog), owned.library, owned.maintenance.notify
        self.stack.enter_context(documents)
        ingestor = Ingestor(library, documents, mirror, self.settings.limits, self.metrics, notify)
        self.stack.enter_context(ingestor)
        store, board, runner = await self._jobs(ingestor, mirror, base.hold, self.outside.parser or parsers)
        purger = Purger(mirror, LiveJobPurge(board, runner, store, mirror, asyncio.get_running_loop()))
        reembedder = Reembedder(library, mirror, documents, notify)
        await self.stack.enter_async_context(reembedder)
        operator = self.stack.enter_context(Operator(library, purger, self.metrics, notify, base.hold))
        intake = Intake(ingestor, board)
        return Writing(library, ingestor, intake, board, runner, parsers, owned.maintenance, reembedder, operator)

    def _limits(self, shared: Sharing) -> Limits:
        access = self.settings.access
        defaults = KeyLimits(access.requests_per_minute, access.tokens_per_minute, access.concurrency)
        return Limits(shared.keys, defaults, self.metrics.access, shared.counts)

    async def _ledger(self, base: _Base) -> MeasuredLedger:
        infos, placed = base.models.infos(), base.placed
        gpus = await self.stack.enter_async_context(GpuWatch(partial(self._gpus, infos, placed)))
        return MeasuredLedger(infos, base.library, placed, base.cache, self.settings.llm, gpus)

    async def _memory(self, base: _Base, ledger: MeasuredLedger) -> MemoryWatch:
        limits = self.settings.limits
        marks = Watermarks(limits.memory_low, limits.memory_high)
        memory = self.outside.memory or MeasuredMemory(ledger)
        watch = MemoryWatch(memory, marks, base.hold, base.engine, self.metrics.memory)
        return await self.stack.enter_async_context(watch)

    async def _parsers(self) -> ChildParsers:
        settings, metrics = self.settings, self.metrics.parsing
        server = KeptForkServer(self.outside.fork_server, on_start=metrics.starts.inc)
        await self.stack.enter_async_context(server)
        return ChildParsers(server, settings.parsing, settings.limits.document_characters, metrics)

    async def _jobs(
        self, ingestor: Ingestor, mirror: Mirror, hold: BulkHold, parser: Parser
    ) -> tuple[JobStore, JobBoard, JobRunner]:
        """What the last process left is taken up before anything new is accepted."""
        settings = self.settings.jobs
        store, left, trouble = await run_sync(open_or_set_aside, self.settings.data_dir / FOLDER)
        self.stack.callback(store.close)
        if trouble:
            _log.error("jobs: %s", trouble)
        board = self.stack.enter_context(JobBoard(store, settings))
        take_up(board, mirror, left)
        work = JobWork(ingestor, parser, store.raw, batch.read_line, problems.verdict_on)
        is_there = partial(has_its_collection, mirror)
        runner = JobRunner(board, work, settings, hold, is_there, self.metrics.jobs.ended)
        return store, board, await self.stack.enter_async_context(runner)

    async def _models(self, spent: Spent) -> tuple[LoadedModels, Engine]:
        """Loaded on the device thread, which stays theirs."""
        settings = self.settings.embedding
        # The forward's workers are the only ones that should span the cores: each search stays on the thread it is
        # made on.
        self.stack.enter_context(threadpool_limits(1, user_api="blas"))
        device = ThreadPoolExecutor(1, thread_name_prefix="quarry-device")
        self.stack.callback(device.shutdown, wait=False)  # the engine waits as long as makes sense
        load = partial(LoadedModels.load, settings, self.settings.rerank, self.outside.embedder)
        models = await asyncio.get_running_loop().run_in_executor(device, load)
        limits = EngineLimits(settings.max_queued_tokens, settings.max_wait_ms / 1000, settings.stall_s)
        told = Told(self.outside.on_lost, spent)
        engine = Engine(models.served(), models.policy(settings), limits, self.metrics.device, device, told)
        return models, await self.stack.enter_async_context(engine)

    async def _generators(self, managed: Mapping[str, Supervision], spent: Spent) -> dict[str, Generator]:
        """By name, watching their servers."""
        generators: dict[str, Generator] = {EXTRACTIVE: ExtractiveGenerator()}
        for name, llm in self.settings.llm.items():
            meters, tokens = self.metrics.llm.of(name), await self._tokens(llm)
            urls = self.settings.llm_urls(name)
            generators[name] = OpenAIGenerator(llm, urls, managed.get(name), meters, tokens, spent)
        for generator in generators.values():
            self.stack.push_async_callback(generator.close)
            await generator.start()
        return generators

    async def _vllms(self) -> dict[str, VllmWatch]:
        """By name, of the language models whose server is vLLM; of several servers by name and URL."""
        return {
            f"{name} {server_name(url)}" if llm.has_several else name: await self.stack.enter_async_context(
                VllmWatch(ChatClient(url, llm.key))
            )
            for name, llm in self.settings.llm.items()
            for url in self.settings.llm_urls(name)
            if llm.is_vllm
        }

    async def _tokens(self, llm: LlmSettings) -> TokenCounter | None:
        """Who counts prompts in this process; None leaves it to the server."""
        if llm.tokenizer is None:
            return None
        from models.chat_tokenizer import ChatTokenizer  # noqa: PLC0415  brings transformers, and few count here

        tokenizer = await run_sync(ChatTokenizer, llm.tokenizer)
        threads = self.stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="quarry-prompt"))
        return LocalTokens(tokenizer.count, threads)

    def _retriever(self, base: _Base, readers: Executor, reranker: RerankBatcher | None, pace: Pace) -> Retriever:
        notify = base.owned.maintenance.notify if base.owned else lambda _: None  # a replica keeps no index
        rechecks = Rechecks(self.metrics, readers, notify)
        searcher = Searcher(readers, self.settings, pace, rechecks)
        budget_ms = self.settings.budgets.rerank_ms
        reorderer = Reorderer(reranker, readers, budget_ms, self.metrics) if reranker else None
        results = RememberedResults(base.shared.results, readers, self.metrics.results)
        return Retriever(base.library, base.embedders, self.settings, searcher, reorderer, results)

    def _rag(
        self,
        base: _Base,
        retriever: Retriever,
        pace: Pace,
        generators: Mapping[str, Generator],
        screen: Screen,
        backlog: Backlog,
    ) -> Rag:
        named = Generators(generators, self.settings.default_llm)
        return Rag(
            Planner(base.library, named, retriever, pace, self.settings.answer),
            Conversation(named, self.settings),
            retriever,
            Ladder(named, retriever, pace, self.settings, screen),
            screen,
            backlog,
        )

    def _gpus(self, models: Sequence[EmbedderInfo | RerankerInfo], placed: Placed) -> GpuReader:
        """It names the devices as CUDA does, where this process uses CUDA: that is not started for the names."""
        uses_cuda = placed.device != "cpu" or any(info.device != "cpu" for info in models)
        return self.outside.open_gpus(gpu_uuids() if uses_cuda else {})


def _look_at(name: str, catalog: Catalog, maintenance: Maintenance) -> None:
    """Say what of a collection is damaged, and do what is due; the others serve whatever one of them meets."""
    try:
        collections = catalog.route(name).collections
    except StoreUnavailableError as error:
        _log.error("%s", error)
        return
    for collection in collections:
        maintenance.report_damage(name, collection)
        maintenance.notify(collection)
