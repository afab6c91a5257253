"""Times of an exact scan and of IVF-PQ on one device, side by side, and what they are of the device's bandwidth."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import faiss

from service.cli.bench.gpu_search.clusters import Clusters, bytes_per_s, card_name, finish, made_up
from service.cli.bench.gpu_search.ways import Way, recall, ways
from service.cli.bench.machine import processor

BATCHES = (1, 8, 32, 128)
_QUERIES = 1024
_WARM_UP = 3

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Timed:
    """One way with one size of batch.

    Attributes:
        ms: median time from queries on the device to positions on the host.
        of_bandwidth: the time that reading the bytes takes at the rate of a copy, as a share of the time taken.
    """

    rows: int
    way: str
    setting: str
    batch: int
    ms: float
    queries_per_s: float
    recall: float
    of_bandwidth: float


@dataclass(frozen=True, slots=True)
class GpuSearchReport:
    """Everything that was measured, and on what."""

    device: str
    dimension: int
    bytes_per_s: float
    versions: dict[str, str]
    results: Sequence[Timed]

    def as_json(self) -> dict[str, object]:
        """Plain values."""
        return {"bench": "gpu-search", "synthetic": True, **asdict(self)}

    def as_markdown(self) -> str:
        """A page."""
        said = ", ".join(f"{name} {each}" for name, each in self.versions.items())
        lines = [
            "# Search on a GPU",
            "",
            f"{self.device}; {said}.",
            f"Synthetic vectors in clusters, {self.dimension} dimensions: no stand-in for text. Median times",
            "from queries on the device to the positions of ten neighbours on the host. The last column:",
            f"the time of reading the bytes at {self.bytes_per_s / 1e12:.2f} TB/s, the rate of a copy, of it all.",
            "",
            "| rows | way | setting | batch | ms | queries/s | recall@10 | of the bandwidth |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for it in self.results:
            lines.append(
                f"| {it.rows:,} | {it.way} | {it.setting} | {it.batch} | {it.ms:.3f} | {it.queries_per_s:,.0f} "
                f"| {it.recall:.3f} | {it.of_bandwidth:.1%} |"
            )
        return "\n".join(lines) + "\n"


def measure(rows: Sequence[int], dimension: int, device: str, repetitions: int, say: Say) -> GpuSearchReport:
    """Every way over each number of rows.

    Args:
        device: ``cuda:0``, or ``cpu`` to try the benchmark out.
        repetitions: searches behind each median.
    """
    rate = bytes_per_s(device)
    results: list[Timed] = []
    for count in rows:
        say(f"making {count:,} vectors")
        clusters = made_up(count, dimension, _QUERIES, device)
        say("building the index")
        for way in ways(clusters, device):
            say(f"{way.name}: {way.setting}")
            results += [_timed(way, clusters, batch, device, repetitions, rate) for batch in BATCHES]
    versions = {"quarry": version("quarry"), "faiss": faiss.__version__, "torch": version("torch")}
    return GpuSearchReport(card_name(device) or f"no GPU: {processor()}", dimension, rate, versions, results)


def _timed(way: Way, clusters: Clusters, batch: int, device: str, repetitions: int, rate: float) -> Timed:
    queries = clusters.queries
    starts = [(i * batch) % (len(queries) - batch + 1) for i in range(_WARM_UP + repetitions)]
    seconds = []
    for start in starts:
        finish(device)
        began = time.perf_counter()
        way.search(queries[start : start + batch])
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds[_WARM_UP:])
    return Timed(
        rows=clusters.rows.size,
        way=way.name,
        setting=way.setting,
        batch=batch,
        ms=round(median * 1000, 4),
        queries_per_s=round(batch / median, 1),
        recall=round(recall(way.search(queries), clusters.truth), 4),
        of_bandwidth=round(way.bytes_of(batch) / rate / median, 4),
    )
