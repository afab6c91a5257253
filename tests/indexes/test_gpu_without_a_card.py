"""What is done around the kernels, with FAISS's own CPU index in the place of its GPU index."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest
import torch

from indexes import gpu_ivf_pq, gpu_placement
from indexes.base import Metric, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.errors import DeviceError, InsufficientMemoryError, SelfTestError
from indexes.exact import exact_scores
from indexes.gpu_ivf_pq import GpuIvfPqIndex
from indexes.gpu_placement import CardPlacer
from indexes.gpu_plan import Backend, CardShape, plan_card
from indexes.gpu_probe import Capabilities
from indexes.ivf_pq import IvfPqIndex, IvfPqParams
from indexes.rows import Rows
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy

ROWS, DIMENSION = 2000, 16
PARAMS = IvfPqParams(nlist=20, m=4, nprobe=5)
CASES: list[tuple[Metric, bool]] = [("cosine", False), ("ip", False), ("l2", False), ("l2", True), ("cosine", True)]
GB = 10**9

Clustered = Callable[[int, int, int], Vectors]


@dataclass
class Card:
    """A pretended card: its memory, and what was asked of it."""

    free: int = 100 * GB
    fails: bool = False
    temp: list[int] = field(default_factory=list)
    configs: list[Any] = field(default_factory=list)
    streams: list[str] = field(default_factory=list)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    it = Card()

    class Resources:
        def setTempMemory(self, size: int) -> None:
            it.temp.append(size)

        def setDefaultStream(self, device: int, stream: object) -> None:
            it.streams.append(f"{device} {stream}")

        def revertDefaultStream(self, device: int) -> None:
            it.streams.append(f"{device} reverted")

    class Index:
        """Behaves like the CPU index it was copied from; it has no rotation, as on the card."""

        def __init__(self, resources: Resources, index: faiss.IndexIVFPQ, config: object) -> None:
            if it.fails:
                raise RuntimeError("out of memory")
            it.configs.append(config)
            self._index = faiss.clone_index(index)
            self.search, self.search_c = self._index.search, self._index.search_c

        def getDevice(self) -> int:
            return 0

    fake = SimpleNamespace(
        StandardGpuResources=Resources,
        GpuIndexIVFPQ=Index,
        GpuIndexIVFPQConfig=SimpleNamespace,
        INDICES_32_BIT=2,
        INDICES_64_BIT=3,
    )
    monkeypatch.setattr(gpu_ivf_pq, "_faiss", fake)
    monkeypatch.setattr(gpu_ivf_pq, "card_of", lambda device: 0)
    monkeypatch.setattr(gpu_placement, "free_bytes", lambda device: it.free)
    monkeypatch.setattr(faiss, "cast_integer_to_cudastream_t", lambda number: f"stream {number}", raising=False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=7))
    return it


def rows(seed: int, count: int = ROWS) -> Vectors:
    print(f"seed {seed}")  # noqa: T201
    vectors = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def table(vectors: Vectors, metric: Metric) -> Rows:
    held = Rows(DIMENSION, metric)
    held.append(np.arange(1, len(vectors) + 1), np.zeros(len(vectors), dtype=np.int64), vectors, 1)
    return held


def able(*backends: Backend) -> Capabilities:
    return Capabilities(1, backends or ("cuvs", "classic"))


@pytest.mark.parametrize(("metric", "rotated"), CASES)
def test_arrays_and_tensors_give_what_the_cpu_index_gives(card: Card, metric: Metric, rotated: bool) -> None:
    index = IvfPqIndex.train(rows(1), metric, replace(PARAMS, rotated=rotated))
    copied = GpuIvfPqIndex(index, CardPlacer("cpu", able=able()).plan(index), "cpu")
    queries = rows(2, 6)
    expected, at = index.candidates(queries, 30, 5)
    for asked in (queries, torch.tensor(queries)):
        scores, positions = copied.candidates(asked, 30, 5)
        np.testing.assert_allclose(np.asarray(scores), expected, atol=1e-5)
        np.testing.assert_array_equal(np.sort(np.asarray(positions)), np.sort(at))
    assert card.streams == ["0 stream 7", "0 reverted"]
    _, few = copied.candidates(torch.tensor(queries), ROWS, 1)
    np.testing.assert_array_equal(few.numpy() == -1, index.candidates(queries, ROWS, 1)[1] == -1)


def test_what_is_asked_is_cut_to_what_the_plan_allows(card: Card) -> None:
    index = IvfPqIndex.train(rows(1), "cosine", PARAMS)
    plan = CardPlacer("cpu", able=able()).plan(index)
    small = GpuIvfPqIndex(index, replace(plan, most=3), "cpu")
    scores, positions = small.candidates(rows(2, 6), 100, 100)
    np.testing.assert_array_equal(positions, index.candidates(rows(2, 6), 3, 3)[1])
    assert scores.shape == (6, 3)


@pytest.mark.parametrize("backend", ["classic", "cuvs"])
def test_the_plan_reaches_faiss(card: Card, backend: Backend) -> None:
    index = IvfPqIndex.train(rows(1), "cosine", PARAMS)
    plan = plan_card(CardShape(ROWS, DIMENSION, 20, 4, "cosine"), 10 * GB, None, (backend,))
    GpuIvfPqIndex(index, plan, "cpu")
    (config,) = card.configs
    assert card.temp == [plan.temp_bytes]
    assert (config.use_cuvs, config.interleavedLayout) == (backend == "cuvs", backend == "cuvs")
    assert (config.useFloat16LookupTables, config.useMMCodeDistance) == (False, False)
    assert config.indicesOptions == (3 if backend == "cuvs" else 2)


@pytest.mark.parametrize("budget", [None, 66 << 20])
@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_batches_are_refined_wherever_the_vectors_lie(card: Card, metric: Metric, budget: int | None) -> None:
    vectors, queries = rows(1), rows(2, 6)
    index = IvfPqIndex.train(vectors, metric, PARAMS)
    placed = CardPlacer("cpu", budget, able())(index, table(vectors, metric), None)
    assert placed.placement.refine_vectors.startswith("host" if budget else "cpu, float")
    scores, positions = placed.search(torch.tensor(queries), 10, 200, 20)
    exact = exact_scores(vectors, None, queries, metric)
    best = -np.sort(-exact, axis=1)[:, :10]
    np.testing.assert_allclose(scores.numpy(), best, atol=2e-3)
    np.testing.assert_allclose(np.take_along_axis(exact, positions.numpy(), axis=1), best, atol=2e-3)


def test_the_budget_is_that_of_all_indexes_together_and_sharing_counts_once(card: Card) -> None:
    vectors = rows(1)
    held, index = table(vectors, "cosine"), IvfPqIndex.train(vectors[:1500], "cosine", PARAMS)
    placer = CardPlacer("cpu", 190 << 20, able("classic"))
    first = placer(index, held, None)
    assert placer.bytes == first.bytes == first.placement.device_bytes
    second = placer(index.extended(vectors[1500:]), held, first)
    assert second.vectors is first.vectors
    assert second.vectors is not None
    assert second.vectors.size == ROWS
    assert placer.bytes == first.bytes + second.bytes - second.vectors.bytes
    memory = placer.memory()
    assert memory.vectors == second.vectors.bytes
    assert memory.codes + memory.scratch == placer.bytes - memory.vectors
    with pytest.raises(InsufficientMemoryError, match="do not fit on the card"):
        placer(index, table(vectors, "cosine"), None)
    del first, second
    assert placer.bytes == 0


def test_exact_vectors_that_are_held_need_no_second_place(card: Card) -> None:
    vectors = rows(1)
    held, index = table(vectors, "cosine"), IvfPqIndex.train(vectors[:1500], "cosine", PARAMS)
    # Twice the temporary memory and once the vectors; they would not fit twice.
    placer = CardPlacer("cpu", (2 * 64 << 20) + 3_200_000, able("classic"))
    first = placer(index, held, None)
    second = placer(index.extended(vectors[1500:]), held, first)
    assert first.placement.refine_vectors == second.placement.refine_vectors == "cpu, float16"


def test_a_table_built_anew_shares_nothing(card: Card) -> None:
    vectors = rows(1)
    index, placer = IvfPqIndex.train(vectors, "cosine", PARAMS), CardPlacer("cpu", able=able())
    first = placer(index, table(vectors, "cosine"), None)
    assert placer(index, table(vectors, "cosine"), first).vectors is not first.vectors


def test_what_faiss_refuses_is_a_typed_error(card: Card) -> None:
    card.fails = True
    index = IvfPqIndex.train(rows(1), "cosine", PARAMS)
    placer = CardPlacer("cpu", able=able())
    with pytest.raises(DeviceError, match="2000 rows could not be put on cpu: out of memory"):
        placer(index, table(rows(1), "cosine"), None)
    with pytest.raises(SelfTestError, match="could not be searched: out of memory"):
        placer.check()
    with pytest.raises(DeviceError, match="sees no GPU"):
        CardPlacer("cuda:0", able=Capabilities(0, ()))


def test_the_self_test_passes_on_a_card_that_answers(card: Card) -> None:
    CardPlacer("cpu", able=able()).check()
    assert [config.use_cuvs for config in card.configs] == [True] * 3 + [False] * 3


@pytest.fixture
def catalog(card: Card, tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path / "data", IndexPolicy(1200, 0, device="cpu", place=CardPlacer("cpu", able=able())))
    yield opened
    opened.close()


def test_a_collection_scans_there_and_answers_exactly(
    catalog: Catalog, cut: Callable[..., Any], clustered: Clustered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_placement, "LEAST_SCANNED", 1)
    spec = CollectionSpec("test-model", "test-fingerprint", DIMENSION, chunk_size=100, chunk_overlap=0)
    collection, _ = catalog.ensure("docs", spec)
    vectors = clustered(1300, DIMENSION, 1)
    for first in range(0, 1300, 20):
        document, chunks = cut(f"d{first // 20}", [f"{first + i} " for i in range(20)])
        collection.put(document, chunks, vectors[first : first + 20], collection.accept())
        if first == 1180:
            assert collection.upkeep.step() == "sealed"
    placement: Any = collection.describe().segments[0]["placement"]
    assert (placement["backend"], placement["refine_vectors"]) == ("cuvs", "cpu, float16")
    collection.delete("d3", collection.accept())
    visible = np.repeat([i != 3 for i in range(65)], 20)
    for row in (0, 70, 500, 1250):
        hits = collection.search(vectors[row], SearchParams(top_k=10, nprobe=1000, refine=100))
        best = np.sort(np.where(visible, vectors @ vectors[row], -np.inf))[::-1][:10]
        np.testing.assert_allclose([hit.score for hit in hits], best, atol=1e-6)
        assert "d3" not in {hit.chunk.document_id for hit in hits}
