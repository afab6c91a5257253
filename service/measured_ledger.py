"""MeasuredLedger: asks every component what it holds, and the machine what is taken."""

import os
from asyncio import to_thread
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

from indexes.errors import IndexesError
from indexes.placement import IndexMemory
from models.base import EmbedderInfo, RerankerInfo
from models.memory import reserved_bytes
from service.llm_settings import LlmSettings
from service.queried_library import QueriedLibrary
from service.query_cache import QueryCache
from service.telemetry.gpu import GpuState
from service.telemetry.gpu_watch import GpuWatch
from service.telemetry.ledger import HOST, Component, Entry, Ledger, Total, balanced


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one moment."""

    gpus: GpuState
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Placed:
    """The indexes on a device other than the host.

    Attributes:
        device: ``cpu`` where there is none.
        memory: what they take there.
    """

    device: str
    memory: Callable[[], IndexMemory]


class MeasuredLedger:
    """Reads the ledger of this process. For the event loop only; what takes time runs on threads.

    Args:
        models: every one that is loaded.
        llms: by name; of a managed one the KV cache is known, as far as the settings fix it.
    """

    def __init__(
        self,
        models: Sequence[EmbedderInfo | RerankerInfo],
        library: QueriedLibrary,
        placed: Placed,
        cache: QueryCache,
        llms: Mapping[str, LlmSettings],
        gpus: GpuWatch,
    ) -> None:
        self._models = models
        self._library = library
        self._placed = placed
        self._cache = cache
        self._llms = llms
        self._gpus = gpus

    async def read(self) -> Measured:
        """As of now, within the time that ``GpuWatch`` takes at most."""
        gpus = await self._gpus.read()
        cache = Entry(HOST, Component.QUERY_CACHE, self._cache.size_bytes, "sum of its entries")
        return Measured(gpus, await to_thread(self._measured, cache, gpus))

    @property
    def uses_cards(self) -> bool:
        """This process holds something on a GPU."""
        return self._placed.device != HOST or any(info.device != HOST for info in self._models)

    async def cards(self) -> Sequence[Total]:
        """Of the GPUs alone, which costs little: what lies on the host is not added up."""
        gpus = await self._gpus.read()
        return await to_thread(self._of_cards, gpus)

    def _of_cards(self, gpus: GpuState) -> Sequence[Total]:
        entries = [*self._weights(), *self._workspaces(), *self._on_a_card()]
        totals = balanced(entries, 0, gpus, os.getpid()).totals
        return [total for total in totals if total.device != HOST]

    def _measured(self, cache: Entry, gpus: GpuState) -> Ledger:
        entries = [*self._weights(), *self._workspaces(), *self._on_the_host(), *self._on_a_card(), cache]
        # Last, so that nothing that was counted is younger than the whole.
        resident = psutil.Process().memory_info().rss
        return balanced([*entries, *self._of_llms(gpus)], resident, gpus, os.getpid())

    def _weights(self) -> Iterator[Entry]:
        for info in self._models:
            is_reranker = isinstance(info, RerankerInfo)
            component = Component.RERANKER_WEIGHTS if is_reranker else Component.EMBEDDER_WEIGHTS
            yield Entry(info.device, component, info.weights_bytes, "its tensors", of=info.name)

    def _workspaces(self) -> Iterator[Entry]:
        """What PyTorch holds on a card beyond weights and vectors: activations of the largest batch, graphs."""
        for device in sorted({info.device for info in self._models} - {HOST}):
            weights = sum(info.weights_bytes for info in self._models if info.device == device)
            vectors = self._placed.memory().vectors if self._placed.device == device else 0
            rest = max(0, reserved_bytes(device) - weights - vectors)
            yield Entry(device, Component.EMBEDDER_PEAK, rest, "PyTorch's reserved memory less weights, vectors")

    def _on_the_host(self) -> Iterator[Entry]:
        for name in self._library.names():
            try:
                collections = self._library.route(name).collections
            except IndexesError:  # damaged, or dropped since: it holds nothing
                continue
            memory = sum((collection.memory for collection in collections), IndexMemory())
            yield from _of_index(HOST, memory, "its arrays and FAISS's layout", name)

    def _on_a_card(self) -> Iterator[Entry]:
        if self._placed.device != HOST:
            yield from _of_index(self._placed.device, self._placed.memory(), "PyTorch's tensors and FAISS's plan")

    def _of_llms(self, gpus: GpuState) -> Iterator[Entry]:
        devices = {gpu.device for gpu in gpus.gpus}
        for name, llm in self._llms.items():
            if llm.managed is None or llm.managed.kv_cache_bytes is None:
                continue
            for device in devices & {f"cuda:{number}" for number in llm.managed.devices}:
                kv = llm.managed.kv_cache_bytes
                yield Entry(device, Component.LLM_KV_CACHE, kv, "settings", tenant=name)


def _of_index(device: str, memory: IndexMemory, source: str, of: str = "") -> Iterator[Entry]:
    parts = (
        (Component.INDEX_VECTORS, memory.vectors),
        (Component.INDEX_CODES, memory.codes),
        (Component.INDEX_SCRATCH, memory.scratch),
        (Component.INDEX_WORDS, memory.words),
    )
    for component, size in parts:
        if size or component is Component.INDEX_VECTORS:
            yield Entry(device, component, size, source, of)
