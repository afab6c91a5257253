"""The measured ledger: who holds the memory of each device, and how much of it nobody accounts for.

The entries of a device add up to what was measured there: of the host the resident set of this process, of a card what
NVML calls used. A residual may be negative: on the host where pages that a component owns were never touched or are
swapped out, on a card where a figure that is not measured, such as a planned KV cache, is too high.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from operator import attrgetter

from prometheus_client import CollectorRegistry, Gauge

from service.telemetry.gpu import GpuMemory, GpuReading, GpuState

HOST = "cpu"
SERVE = "serve"
# By how much the components of a process may exceed what NVML gives its pid. Beyond that the pid is another process's:
# NVML counts in the host's pids, this process may be in a container.
_TOLERANCE = 256 << 20


class Component(StrEnum):
    """What memory is held for, by the names that the plan has too; its ``index`` is vectors and codes together."""

    EMBEDDER_WEIGHTS = "embedder_weights"
    RERANKER_WEIGHTS = "reranker_weights"
    EMBEDDER_PEAK = "embedder_peak"
    INDEX_VECTORS = "index_vectors"
    INDEX_CODES = "index_codes"
    INDEX_SCRATCH = "index_scratch"
    INDEX_WORDS = "index_words"
    QUERY_CACHE = "query_cache"
    LLM_KV_CACHE = "llm_kv_cache"
    UNATTRIBUTED = "unattributed"
    OTHER_PROCESSES = "other_processes"
    HIDDEN_PROCESSES = "hidden_processes"


@dataclass(frozen=True, slots=True)
class Entry:
    """Memory of one component on one device.

    Attributes:
        source: who counted it.
        of: the model or collection it belongs to; empty where it belongs to none.
        tenant: whose process holds it: ``serve`` is this one, else the name of a language model; empty where unknown.
    """

    device: str
    component: Component
    bytes: int
    source: str
    of: str = ""
    tenant: str = SERVE


@dataclass(frozen=True, slots=True)
class Total:
    """One device.

    Attributes:
        process_bytes: all that this process holds there; None where nobody tells.
        attributed_bytes: of that, what components account for.
        unattributed_bytes: the rest, on a card CUDA's context and libraries; where ``process_bytes`` is unknown, the
            rest of the whole card.
        card: its memory, for a GPU that NVML tells of.
    """

    device: str
    process_bytes: int | None
    attributed_bytes: int
    unattributed_bytes: int | None
    card: GpuMemory | None = None


@dataclass(frozen=True, slots=True)
class Ledger:
    """All devices."""

    entries: Sequence[Entry]
    totals: Sequence[Total]


def balanced(entries: Sequence[Entry], resident_bytes: int, gpus: GpuState, pid: int) -> Ledger:
    """The ledger of these entries, with what is left over on each device.

    Args:
        resident_bytes: of this process.
        pid: its number.
    """
    readings = {gpu.device: gpu for gpu in gpus.gpus}
    full: list[Entry] = []
    totals: list[Total] = []
    for device in [HOST, *sorted({*readings, *(entry.device for entry in entries)} - {HOST})]:
        here = [entry for entry in entries if entry.device == device]
        if device == HOST:
            part, total = _host(here, resident_bytes)
        else:
            part, total = _card(device, here, readings.get(device), pid)
        full += part
        totals.append(total)
    return Ledger(full, totals)


def _host(here: Sequence[Entry], resident_bytes: int) -> tuple[list[Entry], Total]:
    attributed = _sum(here)
    rest = Entry(HOST, Component.UNATTRIBUTED, resident_bytes - attributed, "resident set less the components")
    return [*here, rest], Total(HOST, resident_bytes, attributed, rest.bytes)


def _card(device: str, here: Sequence[Entry], gpu: GpuReading | None, pid: int) -> tuple[list[Entry], Total]:
    ours = [entry for entry in here if entry.tenant == SERVE]
    attributed = _sum(ours)
    if gpu is None or gpu.memory is None:  # a model server's figures are plans, which nothing here bears out
        return ours, Total(device, None, attributed, None)
    own, others = _processes(gpu, pid, attributed)
    # As long as no other process holds as much, the model server is not up.
    theirs = [entry for entry in here if entry.tenant != SERVE]
    theirs = theirs if others is None or others >= _sum(theirs) else []
    rest = list(_residuals(device, attributed, _sum(theirs), (gpu.memory.used, own, others)))
    unattributed = next(entry.bytes for entry in rest if entry.component is Component.UNATTRIBUTED)
    return [*ours, *theirs, *rest], Total(device, own, attributed, unattributed, gpu.memory)


def _processes(gpu: GpuReading, pid: int, attributed: int) -> tuple[int | None, int | None]:
    """Bytes of this process and of all others, None for what NVML hides: in a container that may be all of them."""
    listed = {process.pid: process.bytes for process in gpu.processes or ()}
    if not listed:
        return None, None
    own = listed.pop(pid, None)
    if own is None or own < attributed - _TOLERANCE:
        return (None, None) if attributed else (0, _known_sum(listed.values()))
    return own, _known_sum(listed.values())


def _known_sum(sizes: Iterable[int | None]) -> int | None:
    known = list(sizes)
    return None if None in known else sum(size for size in known if size is not None)


def _residuals(
    device: str, attributed: int, theirs: int, measured: tuple[int, int | None, int | None]
) -> Iterator[Entry]:
    """What is missing from the components to the card's used bytes, those of this process and those of others."""
    used, own, others = measured
    if own is None:
        rest, source = used - attributed - theirs, "nvml: used on the card less every component"
        yield Entry(device, Component.UNATTRIBUTED, rest, source, tenant="")
        return
    yield Entry(device, Component.UNATTRIBUTED, own - attributed, "nvml: this process less its components")
    if others is not None:
        source = "nvml: other processes less their components"
        yield Entry(device, Component.OTHER_PROCESSES, others - theirs, source, tenant="")
        theirs = others
    source = "nvml: used on the card less every process it lists"
    yield Entry(device, Component.HIDDEN_PROCESSES, used - own - theirs, source, tenant="")


def _sum(entries: Iterable[Entry]) -> int:
    return sum(entry.bytes for entry in entries)


class LedgerMetrics:
    """The ledger as a gauge."""

    def __init__(self, registry: CollectorRegistry) -> None:
        text = "Memory by who holds it; of a GPU it adds up to what is used."
        self._bytes = Gauge("quarry_ledger_bytes", text, ("device", "component"), registry=registry)

    def follow(self, ledger: Ledger) -> None:
        """Set it, models and collections of a component added up."""
        self._bytes.clear()
        place = attrgetter("device", "component")
        for (device, component), entries in groupby(sorted(ledger.entries, key=place), place):
            self._bytes.labels(device, component.value).set(_sum(entries))
