"""What a query's latency suffers from: an ingest that saturates the device, and a thread that hogs the GIL."""

import asyncio
import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle, islice

from models.base import TextKind
from service.cli.bench.embed.rig import Rig
from service.cli.bench.percentiles import Percentiles
from service.scheduling.job import Lane

_ROUNDS = 4
_INGEST_CALLERS = 4
_CHUNKS_PER_CALL = 32
_LOAD = 0.1  # queries come at this share of what the device could answer
_QUERIES = 100  # in a round, each way
_ROWS_OF_JSON = 200  # about 12 KB, as the body of a request


@dataclass(frozen=True, slots=True)
class Ingest:
    """Queries with and without an ingest, and the ingest with and without queries.

    Attributes:
        bulk_batch_ms: mean time of the ingest's forwards: a query may have to wait for one.
        limit_ms: idle p99 and one bulk batch.
        kept: share of its throughput that the ingest keeps while queries are answered.
    """

    queries_per_s: float
    idle_ms: Percentiles
    loaded_ms: Percentiles
    bulk_batch_ms: float
    limit_ms: float
    ingest_alone_chunks_per_s: float
    ingest_chunks_per_s: float
    kept: float


@dataclass(frozen=True, slots=True)
class BusyThread:
    """Queries with and without a thread beside them that parses JSON."""

    idle_ms: Percentiles
    busy_ms: Percentiles
    p50_ratio: float


async def beside_ingest(
    rig: Rig,
    queries: Sequence[str],
    chunks: Sequence[str],
    capacity_per_s: float,
    rounds: int = _ROUNDS,
    of_a_round: int = _QUERIES,
) -> Ingest:
    """Alternate: queries alone, ingest alone, both.

    Args:
        capacity_per_s: queries that the device answers when it does nothing else.
        of_a_round: queries asked alone, and as many beside the ingest.
    """
    rate, asked = _LOAD * capacity_per_s, cycle(queries)
    idle: list[float] = []
    loaded: list[float] = []
    alone, together = _Ingesting(rig, chunks), _Ingesting(rig, chunks)
    seconds = of_a_round / rate
    for _ in range(rounds):
        idle += await _queried(rig, islice(asked, of_a_round), rate)
        async with alone:
            await asyncio.sleep(seconds)
        async with together:
            loaded += await _queried(rig, islice(asked, of_a_round), rate)
    idle_ms, loaded_ms = Percentiles.of(idle), Percentiles.of(loaded)
    bulk_batch_ms = 1000 * _mean_bulk_batch_s(rig)
    return Ingest(
        queries_per_s=round(rate, 1),
        idle_ms=idle_ms,
        loaded_ms=loaded_ms,
        bulk_batch_ms=round(bulk_batch_ms, 1),
        limit_ms=round(idle_ms.p99 + bulk_batch_ms, 1),
        ingest_alone_chunks_per_s=round(alone.per_s, 1),
        ingest_chunks_per_s=round(together.per_s, 1),
        kept=round(together.per_s / alone.per_s, 3),
    )


async def beside_busy_thread(
    rig: Rig, queries: Sequence[str], rounds: int = _ROUNDS, of_a_round: int = _QUERIES
) -> BusyThread:
    """Alternate between a quiet process and one with a thread that parses JSON; so many queries in each."""
    asked = cycle(queries)
    idle: list[float] = []
    busy: list[float] = []
    for _ in range(rounds):
        idle += await _queried(rig, islice(asked, of_a_round), math.inf)
        with _parsing_json():
            busy += await _queried(rig, islice(asked, of_a_round), math.inf)
    idle_ms, busy_ms = Percentiles.of(idle), Percentiles.of(busy)
    return BusyThread(idle_ms, busy_ms, round(busy_ms.p50 / idle_ms.p50, 2))


async def _queried(rig: Rig, queries: Iterator[str], rate: float) -> list[float]:
    """Seconds of each query from when it was due, asked at a steady rate whatever became of those before."""
    if math.isinf(rate):
        return [await _timed(rig, text, time.perf_counter()) for text in queries]
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for i, text in enumerate(queries):
            due = start + i / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(group.create_task(_timed(rig, text, due)))
    return [task.result() for task in tasks]


async def _timed(rig: Rig, text: str, due: float) -> float:
    await rig.batcher.embed([text], TextKind.QUERY, Lane.QUERY)
    return time.perf_counter() - due


class _Ingesting:
    """Callers in the bulk lane, for as long as the context is open; adds up over several openings."""

    def __init__(self, rig: Rig, chunks: Sequence[str]) -> None:
        self._rig = rig
        self._calls = cycle([chunks[i : i + _CHUNKS_PER_CALL] for i in range(0, len(chunks), _CHUNKS_PER_CALL)])
        self._chunks = 0
        self._seconds = 0.0

    @property
    def per_s(self) -> float:
        return self._chunks / self._seconds

    async def __aenter__(self) -> None:
        self._is_open = True
        self._start = time.perf_counter()
        self._callers = [asyncio.create_task(self._caller()) for _ in range(_INGEST_CALLERS)]

    async def __aexit__(self, *_: object) -> None:
        self._is_open = False
        await asyncio.gather(*self._callers)
        self._seconds += time.perf_counter() - self._start

    async def _caller(self) -> None:
        while self._is_open:
            chunks = next(self._calls)
            await self._rig.batcher.embed(chunks, TextKind.DOCUMENT, Lane.BULK)
            self._chunks += len(chunks)


def _mean_bulk_batch_s(rig: Rig) -> float:
    value, labels = rig.metrics.registry.get_sample_value, {"model": rig.info.name, "lane": Lane.BULK.value}
    return (value("quarry_batch_seconds_sum", labels) or 0.0) / (value("quarry_batch_seconds_count", labels) or 1.0)


@contextmanager
def _parsing_json() -> Iterator[None]:
    text = json.dumps([{"id": i, "title": f"Row {i}", "tags": ["a", "b"]} for i in range(_ROWS_OF_JSON)])
    stop = threading.Event()

    def parse() -> None:
        while not stop.is_set():
            json.loads(text)

    thread = threading.Thread(target=parse, name="busy")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
