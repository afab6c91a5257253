"""The ways of searching that are compared, each from a batch of queries on the device to positions on the host."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np

from indexes.base import Positions
from indexes.card_vectors import Tensor
from indexes.exact import scores_at
from indexes.faiss_file import imbalance_of
from indexes.faiss_training import training_rows
from indexes.gpu_ivf_pq import card_of
from indexes.gpu_placement import CardPlacer
from indexes.gpu_probe import Capabilities, capabilities
from indexes.ivf_pq import IndexFacts, IvfPqIndex, IvfPqParams
from indexes.ranking import best
from service.cli.bench.gpu_search.clusters import TOP_K, Clusters

_NPROBES, _REFINES = (4, 8, 16, 32, 64, 128, 256, 512), (4, 10, 20, 40)
_TARGET = 0.99
_ADDED_ROWS = 262_144
_faiss: Any = faiss  # the stubs are those of the CPU build

# ``(queries, dimension)`` on the device to ``(queries, 10)`` positions.
Search = Callable[[Tensor], Positions]


@dataclass(frozen=True, slots=True)
class Way:
    """One way of searching.

    Attributes:
        setting: what it was tuned to.
        bytes_of: a batch of this size reads at least, from the memory of the device.
    """

    name: str
    setting: str
    search: Search
    bytes_of: Callable[[int], float]


def ways(clusters: Clusters, device: str) -> Iterator[Way]:
    """An exact scan, then IVF-PQ by each family of kernels; one after the other, so that one is in memory at a time."""
    rows, dimension = clusters.rows.size, clusters.rows.dimension

    def scan(queries: Tensor) -> Positions:
        found: Positions = clusters.vectors.nearest(queries, 0, rows, TOP_K)[1].cpu().numpy()
        return found

    yield Way("exact scan", "float16", scan, lambda _: rows * dimension * 2.0)
    index = built(clusters, device)
    if device == "cpu":
        yield _tuned("IVF-PQ, CPU", index, clusters, _on_the_host(index, clusters))
        return
    for backend in capabilities().backends:
        able = Capabilities(card_of(device) + 1, (backend,))
        placed = CardPlacer(device, able=able)(index, clusters.rows, None)

        def search(queries: Tensor, nprobe: int, refine: int, placed: Any = placed) -> Positions:  # noqa: ANN401
            found: Positions = placed.search(queries, TOP_K, refine, nprobe)[1].cpu().numpy()
            return found

        home = placed.placement.refine_vectors
        yield _tuned(f"IVF-PQ, {backend}, refined from {home}", index, clusters, search)


def built(clusters: Clusters, device: str) -> IvfPqIndex:
    """The index that all of them search, trained on the device; 4 to 8 sqrt(n) lists, a power of two."""
    vectors = clusters.rows.vectors()
    rows, dimension = vectors.shape
    params = IvfPqParams.for_rows(rows, dimension)
    if device == "cpu":
        return IvfPqIndex.train(vectors, "cosine", params)
    params = replace(params, nlist=1 << int(np.ceil(np.log2(4 * rows**0.5))))
    config = _faiss.GpuIndexIVFPQConfig()
    config.device = card_of(device)
    metric = faiss.METRIC_INNER_PRODUCT
    index = _faiss.GpuIndexIVFPQ(_faiss.StandardGpuResources(), dimension, params.nlist, params.m, 8, metric, config)
    index.train(vectors[training_rows(rows, params.nlist)])
    for start in range(0, rows, _ADDED_ROWS):
        index.add(vectors[start : start + _ADDED_ROWS])
    tight = faiss.clone_index(_faiss.index_gpu_to_cpu(index))
    imbalance = imbalance_of(tight)
    return IvfPqIndex(tight, IndexFacts(dimension, "cosine", rows, rows, imbalance, 0.0, params))


def recall(found: Positions, truth: Positions) -> float:
    """Share of the exact neighbours that were found."""
    return float(np.mean([np.isin(one, other).mean() for one, other in zip(truth, found, strict=True)]))


def _on_the_host(index: IvfPqIndex, clusters: Clusters) -> Callable[[Tensor, int, int], Positions]:
    vectors = clusters.rows.vectors()

    def search(queries: Tensor, nprobe: int, refine: int) -> Positions:
        asked = queries.numpy()
        _, found = index.candidates(asked, TOP_K * refine, nprobe)
        return best(scores_at(vectors, asked, found, "cosine"), found, TOP_K)[1]

    return search


def _tuned(name: str, index: IvfPqIndex, clusters: Clusters, search: Callable[[Tensor, int, int], Positions]) -> Way:
    """With the fewest lists, then candidates, that reach a recall of 0.99; the best there is where none does."""
    nlist, m, dimension = index.params.nlist, index.params.m, index.dimension
    measured = []
    for nprobe in [*(nprobe for nprobe in _NPROBES if nprobe < nlist), min(nlist, 2 * _NPROBES[-1])]:
        for refine in _REFINES:
            reached = recall(search(clusters.queries, nprobe, refine), clusters.truth)
            measured.append((reached, nprobe, refine))
            if reached >= _TARGET:
                break
        if measured[-1][0] >= _TARGET:
            break
    met = [each for each in measured if each[0] >= _TARGET]
    _, nprobe, refine = met[0] if met else max(measured)
    codes = index.size * index.imbalance * nprobe / nlist * m

    def bytes_of(batch: int) -> float:
        return 4.0 * nlist * dimension + batch * (codes + TOP_K * refine * dimension * 2.0)

    setting = f"{nlist} lists, {m} bytes, nprobe {nprobe}, refine {refine}"
    return Way(name, setting, lambda queries: search(queries, nprobe, refine), bytes_of)
