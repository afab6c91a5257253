"""What routes may call: the collaborators that the lifespan built."""

from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from indexes.named import Named
from indexes.reembeddings import Route
from service.access.key_book import KeyBook
from service.access.limits import Limits
from service.backlog import Backlog
from service.bulk_hold import BulkHold
from service.content.base import Screen
from service.embedders import Embedders
from service.engine import Engine
from service.generation.base import Generator
from service.generation.server_pool import ServerPool
from service.generation.vllm_watch import VllmWatch
from service.ingest.ingestor import Ingestor
from service.ingest.jobs.board import JobBoard
from service.ingest.jobs.intake import Intake
from service.ingest.jobs.runner import JobRunner
from service.ingest.parsing.child_parsers import ChildParsers
from service.library import Library
from service.maintenance import Maintenance
from service.measured_ledger import MeasuredLedger
from service.memory_watch import MemoryWatch
from service.milvus_watch import MilvusWatch
from service.operator import Operator
from service.queried_library import QueriedLibrary
from service.rag import Rag
from service.reembedding import Reembedder, ReembeddingState
from service.reranking import RerankBatcher
from service.settings import Settings
from service.sharing import Sharing
from service.supervised import Supervised
from service.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Writing:
    """What owns and changes collections, and what else a replica is without."""

    library: Library
    ingestor: Ingestor
    intake: Intake
    jobs: JobBoard
    job_runner: JobRunner
    parsers: ChildParsers
    maintenance: Maintenance
    reembedder: Reembedder
    operator: Operator


@dataclass(frozen=True, slots=True)
class Services:
    """One of each, for the life of the process.

    Attributes:
        own: None at a replica.
        milvus: None where there is none.
        pools: the servers of each language model, by its name.
        readers: threads for what reads many rows of a store.
    """

    settings: Settings
    metrics: Metrics
    keys: KeyBook
    shared: Sharing
    limits: Limits
    library: QueriedLibrary
    engine: Engine
    embedders: Embedders
    reranker: RerankBatcher | None
    generators: Mapping[str, Generator]
    pools: Mapping[str, ServerPool]
    backlog: Backlog
    rag: Rag
    readers: Executor
    screen: Screen
    own: Writing | None
    milvus: MilvusWatch | None
    supervised: Supervised
    ledger: MeasuredLedger
    hold: BulkHold
    memory: MemoryWatch
    vllms: Mapping[str, VllmWatch]

    @property
    def writing(self) -> Writing:
        """For routes that a replica does not serve, see ``queries_only``."""
        assert self.own is not None  # noqa: S101  no request of such a route comes so far
        return self.own

    def reembedding_of(self, named: Named) -> ReembeddingState | None:
        """Of the collection that a name leads to; None where there is none, or at a replica."""
        if self.own is None or not isinstance(named, Route):
            return None
        return self.own.reembedder.describe(named)


async def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesOf = Annotated[Services, Depends(_services)]
