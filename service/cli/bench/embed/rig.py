"""The rig: an engine as the server has it, with a way to time the bare model on the same thread."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from models.base import Embedder, EmbedderInfo, Finished
from service.admission import EngineLimits
from service.batching import EmbeddingBatcher
from service.bulk_hold import BulkHold
from service.call import Work
from service.cli.interpreter import settle_memory, share_the_interpreter
from service.embedding_settings import EmbeddingSettings
from service.engine import Engine
from service.loaded_models import LoadedModels
from service.query_cache import QueryCache
from service.rerank_settings import RerankSettings
from service.scheduling.capacity import Capacity, CostModel
from service.scheduling.job import Lane
from service.served_model import ServedModel
from service.telemetry.metrics import Metrics

_BARE = "bare"
# A whole round of the bare model is one batch to the engine.
_STALL_S = 3600.0


@dataclass(frozen=True, slots=True)
class BareWork:
    """Something to do with the model alone."""

    action: Callable[[Embedder], None]

    def __len__(self) -> int:
        """It counts as one token."""
        return 1


class BareModel:
    """A forward that runs ``BareWork`` and whose row is the seconds it took.

    It runs on the engine's device thread, because a second thread would have a second OpenMP pool and be slower.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def launch(self, batch: Sequence[BareWork]) -> Finished:
        """Do each piece of work, one after the other."""
        seconds = []
        for work in batch:
            start = time.perf_counter()
            work.action(self._embedder)
            seconds.append(time.perf_counter() - start)
        return Finished(len(batch), np.array(seconds, dtype=np.float32)[:, np.newaxis])


@dataclass(frozen=True, slots=True)
class Rig:
    """What is measured.

    Attributes:
        capacity: of the embedder.
    """

    embedder: Embedder
    batcher: EmbeddingBatcher
    engine: Engine
    metrics: Metrics
    capacity: Capacity

    @property
    def info(self) -> EmbedderInfo:
        """Of the embedder."""
        return self.embedder.info

    async def bare(self, action: Callable[[Embedder], None]) -> float:
        """Seconds that an action takes with nothing between it and the model."""
        work = Work(_BARE, Lane.QUERY, 1, 0, 1, lambda _: [BareWork(action)])
        return float((await self.engine.run(work)).rows[0, 0])


@asynccontextmanager
async def rig(settings: EmbeddingSettings) -> AsyncIterator[Rig]:
    """Load the model and start an engine over it, without a cache of queries."""
    share_the_interpreter()
    device = ThreadPoolExecutor(1, thread_name_prefix="quarry-device")
    loaded = device.submit(LoadedModels.load, settings, RerankSettings()).result()
    model, metrics = loaded.embedders[0], Metrics()
    bare = ServedModel(BareModel(model.model), 1, Capacity(1, CostModel([(1, 0.01)]), 1.0))
    served = loaded.served() | {_BARE: bare}
    limits = EngineLimits(settings.max_queued_tokens, stall_s=_STALL_S)
    with threadpool_limits(1, user_api="blas"):  # as in the server
        settle_memory()
        async with Engine(served, loaded.policy(settings), limits, metrics.device, device) as engine:
            batcher = EmbeddingBatcher(model.model, engine, QueryCache(0, metrics.device), BulkHold())
            yield Rig(model.model, batcher, engine, metrics, model.served.capacity)
