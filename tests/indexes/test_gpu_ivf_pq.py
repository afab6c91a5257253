"""IVF-PQ on a card: against the CPU, against an exact scan, in a collection, and in the memory it was planned for."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
import torch

from indexes.base import Metric, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.exact import exact_scores
from indexes.filters import parse_filter
from indexes.gpu_ivf_pq import GpuIvfPqIndex
from indexes.gpu_placement import CardIndex, CardPlacer
from indexes.gpu_plan import Backend
from indexes.gpu_probe import Capabilities, capabilities
from indexes.ivf_pq import IvfPqIndex, IvfPqParams
from indexes.rows import Rows
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy

ABLE = capabilities()
DEVICE = "cuda:0"
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not ABLE.gpus or not torch.cuda.is_available(), reason="needs a CUDA device and a GPU build of FAISS"
    ),
]
# Without a card there is nothing to ask: both names, so that what is skipped is seen.
BACKENDS: tuple[Backend, ...] = ABLE.backends or ("cuvs", "classic")
ROWS, DIMENSION = 20_000, 64
PARAMS = IvfPqParams(nlist=64, m=8, nprobe=16)
METRICS: list[Metric] = ["cosine", "ip", "l2"]

Clustered = Callable[[int, int, int], Vectors]


@pytest.fixture
def one_run(clustered: Clustered) -> tuple[Vectors, Vectors]:
    vectors = clustered(ROWS + 64, DIMENSION, 1)
    return vectors[:ROWS], np.ascontiguousarray(vectors[ROWS:])


def table(vectors: Vectors, metric: Metric) -> Rows:
    rows = Rows(vectors.shape[1], metric, len(vectors))
    rows.append(np.arange(1, len(vectors) + 1), np.zeros(len(vectors), dtype=np.int64), vectors, 1)
    return rows


def placer(backend: Backend, budget: int | None = None) -> CardPlacer:
    return CardPlacer(DEVICE, budget, Capabilities(1, (backend,)))


def agreement(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.mean([np.isin(one, other).mean() for one, other in zip(expected, found, strict=True)]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_self_test_passes(backend: Backend) -> None:
    placer(backend).check()


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_candidates_are_those_of_the_cpu(
    backend: Backend, metric: Metric, rotated: bool, one_run: tuple[Vectors, Vectors]
) -> None:
    vectors, queries = one_run
    index = IvfPqIndex.train(vectors, metric, replace(PARAMS, rotated=rotated))
    card = GpuIvfPqIndex(index, placer(backend).plan(index), DEVICE)
    scores, positions = card.candidates(queries, 100, 16)
    expected, at = index.candidates(queries, 100, 16)
    assert scores.shape == positions.shape == (64, 100)
    assert agreement(positions, at) > 0.98  # lists and codes that tie, or nearly, may fall either way
    np.testing.assert_allclose(scores, expected, atol=2e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_tensors_give_what_arrays_give_and_stay_on_the_card(
    backend: Backend, one_run: tuple[Vectors, Vectors], monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors, queries = one_run
    index = IvfPqIndex.train(vectors, "l2", PARAMS)
    card = GpuIvfPqIndex(index, placer(backend).plan(index), DEVICE)
    expected, at = card.candidates(queries, 50, 8)
    asked = torch.tensor(queries, device=DEVICE)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a tensor was copied to the host")

    with monkeypatch.context() as patched:
        for name in ("cpu", "numpy", "tolist", "__array__"):
            patched.setattr(torch.Tensor, name, refuse)
        scores, positions = card.candidates(asked, 50, 8)
    assert scores.device == positions.device == asked.device
    np.testing.assert_array_equal(positions.cpu().numpy(), at)
    np.testing.assert_allclose(scores.cpu().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_asked_is_cut_to_what_the_kernels_take(backend: Backend, one_run: tuple[Vectors, Vectors]) -> None:
    vectors, queries = one_run
    index = IvfPqIndex.train(vectors, "cosine", PARAMS)
    plan = placer(backend).plan(index)
    scores, positions = GpuIvfPqIndex(index, plan, DEVICE).candidates(queries, 10**6, 10**6)
    assert positions.shape[1] == min(ROWS, plan.most)
    assert len(np.unique(positions[0])) == positions.shape[1]
    assert (np.diff(scores, axis=1) <= 1e-6).all()


@pytest.mark.parametrize("budget", [None, 67 << 20])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_refined_candidates_are_the_exact_neighbours(
    backend: Backend, metric: Metric, budget: int | None, one_run: tuple[Vectors, Vectors]
) -> None:
    vectors, queries = one_run
    index = IvfPqIndex.train(vectors, metric, PARAMS)
    placed = placer(backend, budget)(index, table(vectors, metric), None)
    asked = torch.tensor(queries, device=DEVICE)
    scores, positions = placed.search(asked, 10, 30, 64)
    exact = exact_scores(vectors, None, queries, metric)
    at = np.argsort(-exact, axis=1)[:, :10]
    assert agreement(positions.cpu().numpy(), at) > 0.97
    taken = np.take_along_axis(exact, positions.cpu().numpy(), axis=1)
    np.testing.assert_allclose(scores.cpu().numpy(), taken, atol=3e-3)


def test_a_small_budget_leaves_the_exact_vectors_on_the_host(one_run: tuple[Vectors, Vectors]) -> None:
    vectors, _ = one_run
    index = IvfPqIndex.train(vectors, "l2", PARAMS)
    rows = table(vectors, "l2")
    large, small = placer(BACKENDS[-1]), placer(BACKENDS[-1], 70 << 20)
    assert large(index, rows, None).placement.refine_vectors == "cuda:0, float32"
    placed = small(index, rows, None)
    assert placed.placement.refine_vectors == "host"
    assert placed.scan(rows.vectors(), vectors[0], 0, np.ones(ROWS, dtype=bool), 10) is None


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_planned_is_what_is_taken(backend: Backend, one_run: tuple[Vectors, Vectors]) -> None:
    vectors, _ = one_run
    index, rows = IvfPqIndex.train(vectors, "cosine", PARAMS), table(vectors, "cosine")
    first = placer(backend)
    first(index, rows, None)  # contexts and handles, which come once
    torch.cuda.synchronize()
    before, held = torch.cuda.mem_get_info(DEVICE)[0], torch.cuda.memory_allocated(DEVICE)
    place = placer(backend)
    plan = place.plan(index)
    placed = place(index, rows, None)
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated(DEVICE) - held == pytest.approx(plan.refine_bytes, rel=0.01)
    assert before - torch.cuda.mem_get_info(DEVICE)[0] <= plan.total_bytes * 1.1 + (64 << 20)
    assert place.bytes == placed.bytes == plan.total_bytes


def test_two_indexes_over_the_same_rows_share_their_exact_vectors(one_run: tuple[Vectors, Vectors]) -> None:
    vectors, queries = one_run
    rows, place = table(vectors, "cosine"), placer(BACKENDS[0])
    index = IvfPqIndex.train(vectors[:15_000], "cosine", PARAMS)
    first = place(index, rows, None)
    second = place(index.extended(vectors[15_000:]), rows, first)
    assert isinstance(second, CardIndex)
    assert second.vectors is first.vectors
    assert place.bytes < first.bytes + second.bytes
    _, found = second.candidates(vectors[19_000:19_064], 1, 64)
    assert (found[:, 0] >= 15_000).mean() > 0.8
    near = second.scan(rows.vectors(), queries[0], 15_000, np.ones(5000, dtype=bool), 20)
    assert near is not None
    best = 15_000 + np.argsort(-(vectors[15_000:] @ queries[0]))[:10]
    assert set(best) <= set(near)


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path / "data", IndexPolicy(2000, 0, device=DEVICE, place=CardPlacer(DEVICE)))
    yield opened
    opened.close()


def test_deletes_and_filters_hold_in_a_collection_on_the_card(
    catalog: Catalog, cut: Callable[..., tuple], clustered: Clustered
) -> None:
    spec = CollectionSpec("test-model", "test-fingerprint", DIMENSION, chunk_size=100, chunk_overlap=0)
    collection, _ = catalog.ensure("docs", spec)
    vectors, of = clustered(3000, DIMENSION, 1), 10
    for first in range(0, 3000, of):
        document, chunks = cut(f"d{first // of}", [f"{first + i} " for i in range(of)])
        document = replace(document, metadata={"even": first // of % 2 == 0})
        collection.put(document, chunks, vectors[first : first + of], collection.accept())
        if first == 2500:
            while collection.upkeep.step():
                pass
    state = collection.describe()
    assert state.segments[0]["placement"]["device"] == DEVICE  # type: ignore[index]
    assert state.segments[1]["rows"] == 490
    gone = {f"d{i}" for i in range(0, 300, 7)}
    for document_id in gone:
        collection.delete(document_id, collection.accept())
    even = parse_filter({"type": "eq", "key": "even", "value": True})
    for row in range(0, 3000, 97):
        for kept, wanted in ((None, lambda _: True), (even, lambda i: i % 2 == 0)):
            hits = collection.search(vectors[row], SearchParams(top_k=10, filter=kept, nprobe=10**6, refine=50))
            visible = np.array([f"d{i // of}" not in gone and wanted(i // of) for i in range(3000)])
            best = np.where(visible, vectors @ vectors[row], -np.inf)
            expected = np.sort(best)[::-1][:10]
            assert all(hit.chunk.document_id not in gone for hit in hits)
            assert all(wanted(int(hit.chunk.document_id[1:])) for hit in hits)
            np.testing.assert_allclose([hit.score for hit in hits], expected, atol=1e-5)


def test_threads_that_search_at_once_get_their_own_answers(one_run: tuple[Vectors, Vectors]) -> None:
    vectors, queries = one_run
    index = IvfPqIndex.train(vectors, "cosine", PARAMS)
    card = GpuIvfPqIndex(index, placer(BACKENDS[0]).plan(index), DEVICE)
    expected = [card.candidates(query[None], 20, 8)[1] for query in queries]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda query: card.candidates(query[None], 20, 8)[1], np.repeat(queries, 4, axis=0)))
    for i, one in enumerate(found):
        np.testing.assert_array_equal(one, expected[i // 4])


def test_searches_on_the_cpu_still_take_their_parameters(one_run: tuple[Vectors, Vectors]) -> None:
    """What makes FAISS accept tensors must not cost the CPU index its search parameters."""
    vectors, queries = one_run
    index = IvfPqIndex.train(vectors, "cosine", PARAMS)
    GpuIvfPqIndex(index, placer(BACKENDS[0]).plan(index), DEVICE).candidates(torch.tensor(queries, device=DEVICE), 5, 2)
    assert index.candidates(queries, 5, 2)[1].shape == (64, 5)
    assert faiss.SearchParametersIVF().nprobe == 1
