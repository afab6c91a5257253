"""A collection with a device that is a fake: what it is asked, what happens where it refuses, what the status says."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from indexes.base import Mask, Positions, Scores, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.errors import DeviceError, InsufficientMemoryError
from indexes.filters import parse_filter
from indexes.ivf_pq import IvfPqIndex
from indexes.placement import DeviceIndex, Placement
from indexes.rows import Rows
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy

SEAL_ROWS = 256


@dataclass
class FakeIndex:
    """Searches on the host and counts; it takes few candidates, as kernels do."""

    index: IvfPqIndex
    most: int = 64
    asked: list[tuple[int, int]] = field(default_factory=list)
    scans: int = 0

    @property
    def placement(self) -> Placement:
        return Placement("cuda:0", "classic", "host", 1000, self.most, self.most, "it fits")

    def candidates(self, queries: Vectors, count: int, nprobe: int) -> tuple[Scores, Positions]:
        self.asked.append((count, nprobe))
        assert count <= self.most
        return self.index.candidates(queries, count, nprobe)

    def scan(self, vectors: Vectors, query: Vectors, start: int, mask: Mask, count: int) -> Positions | None:
        self.scans += 1
        scores = np.where(mask, vectors[start : start + len(mask)] @ query, -np.inf)
        best = np.argsort(-scores)[:count]
        return best[scores[best] > -np.inf] + start


@dataclass
class FakeDevice:
    """Places indexes, unless it has an error to raise."""

    error: Exception | None = None
    placed: list[tuple[FakeIndex, DeviceIndex | None]] = field(default_factory=list)

    def __call__(self, index: IvfPqIndex, rows: Rows, before: DeviceIndex | None) -> FakeIndex:
        assert rows.size >= index.size
        if self.error:
            raise self.error
        self.placed.append((FakeIndex(index), before))
        return self.placed[-1][0]


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
def reopen(tmp_path: Path, device: FakeDevice, spec: CollectionSpec) -> Iterator[Callable[[], Collection]]:
    opened: list[Catalog] = []

    def open_it() -> Collection:
        if opened:
            opened.pop().close()
        opened.append(Catalog(tmp_path / "data", IndexPolicy(SEAL_ROWS, 0, device="cuda:0", place=device)))
        return opened[0].ensure("docs", spec)[0]

    yield open_it
    opened.pop().close()


@pytest.fixture
def fill(put: Callable[..., str]) -> Callable[[Collection, Vectors, str], None]:
    """(collection, vectors, prefix): one document for each."""

    def write(collection: Collection, vectors: Vectors, prefix: str) -> None:
        for i, vector in enumerate(vectors):
            put(collection, f"{prefix}{i}", [f"{prefix}{i} "], vector[None])

    return write


def steps(collection: Collection) -> list[str]:
    done = []
    while step := collection.upkeep.step():
        done.append(step)
    return done


def found(collection: Collection, query: Vectors, **params: object) -> Sequence[str]:
    return [hit.chunk.document_id for hit in collection.search(query, SearchParams(**params))]  # type: ignore[arg-type]


def segment(collection: Collection) -> dict[str, object]:
    placement = collection.describe().segments[0]["placement"]
    assert isinstance(placement, dict)
    return placement


Fill = Callable[[Collection, Vectors, str], None]
Clustered = Callable[[int, int, int], Vectors]


def test_a_sealed_index_is_placed_and_searched_there(
    reopen: Callable[[], Collection], device: FakeDevice, fill: Fill, clustered: Clustered
) -> None:
    collection, vectors = reopen(), clustered(300, 16, 1)
    fill(collection, vectors, "a")
    assert steps(collection) == ["sealed", "saved"]
    ((index, before),) = device.placed
    assert before is None
    exact = [f"a{i}" for i in np.argsort(-(vectors @ vectors[7]))[:10]]
    assert found(collection, vectors[7], nprobe=10**6, refine=30) == exact
    assert index.scans == 1  # 300 rows are cheaper to scan than to search by lists
    assert segment(collection)["device"] == "cuda:0"
    assert segment(collection)["device_bytes"] == 1000
    assert segment(collection)["why"] == "it fits"


def test_candidates_come_from_the_device_no_more_than_it_takes(
    reopen: Callable[[], Collection],
    device: FakeDevice,
    fill: Fill,
    clustered: Clustered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("indexes.plan._CODES_PER_LAUNCH", 0)
    collection, vectors = reopen(), clustered(300, 16, 1)
    fill(collection, vectors, "a")
    steps(collection)
    searched = collection.searched(vectors[7], SearchParams(top_k=3, nprobe=10**6, refine=50))
    assert searched.plan is not None
    assert (searched.plan.way, searched.plan.candidates, searched.plan.is_cut) == ("lists", 64, True)
    index = device.placed[0][0]
    assert index.asked == [(64, min(64, index.index.params.nlist))]
    assert searched.hits[0].chunk.document_id == "a7"
    assert index.scans == 0
    whole = collection.searched(vectors[7], SearchParams(top_k=3, nprobe=1, refine=2)).plan
    assert whole is not None
    assert not whole.is_cut


def test_the_tail_is_scanned_there_and_a_deleted_row_is_gone(
    reopen: Callable[[], Collection], device: FakeDevice, fill: Fill, clustered: Clustered
) -> None:
    collection, vectors, late = reopen(), clustered(300, 16, 1), clustered(20, 16, 2)
    fill(collection, vectors, "a")
    steps(collection)
    fill(collection, late, "b")
    assert found(collection, late[3], top_k=1) == ["b3"]
    assert device.placed[0][0].scans >= 2
    collection.delete("b3", collection.accept())
    collection.delete("a7", collection.accept())
    assert "b3" not in found(collection, late[3], top_k=320)
    assert "a7" not in found(collection, vectors[7], top_k=320)
    assert found(collection, late[3], filter=parse_filter({"type": "eq", "key": "kind", "value": "x"})) == []


def test_an_extended_index_replaces_the_one_that_was_placed(
    reopen: Callable[[], Collection], device: FakeDevice, fill: Fill, clustered: Clustered
) -> None:
    collection, vectors = reopen(), clustered(300, 16, 1)
    fill(collection, vectors, "a")
    steps(collection)
    fill(collection, vectors[:260], "b")  # alike, or everything would be trained anew
    assert steps(collection) == ["sealed", "saved"]
    (first, _), (second, before) = device.placed
    assert before is first
    assert second.index.size == 560


def test_an_index_of_a_snapshot_is_placed_by_the_next_step_and_not_saved_again(
    reopen: Callable[[], Collection], device: FakeDevice, fill: Fill, clustered: Clustered
) -> None:
    collection = reopen()
    fill(collection, clustered(300, 16, 1), "a")
    steps(collection)
    collection = reopen()
    assert segment(collection)["device"] == "cpu"
    assert "waits" in str(segment(collection)["why"])
    assert collection.upkeep.is_due
    assert steps(collection) == ["placed", "checked"]
    assert segment(collection)["device"] == "cuda:0"


def test_what_does_not_fit_beside_the_old_one_is_placed_when_that_is_gone(
    reopen: Callable[[], Collection], device: FakeDevice, fill: Fill, clustered: Clustered
) -> None:
    collection, vectors = reopen(), clustered(300, 16, 1)
    fill(collection, vectors, "a")
    steps(collection)
    fill(collection, vectors[:260], "b")  # alike, or everything would be trained anew
    device.error = InsufficientMemoryError("both are too much")
    assert collection.upkeep.step() == "sealed"
    device.error = None
    assert steps(collection) == ["placed", "saved"]
    assert device.placed[-1][1] is None
    assert device.placed[-1][0].index.size == 560


def test_a_refusal_leaves_the_index_on_the_cpu_and_says_why(
    reopen: Callable[[], Collection], device: FakeDevice, fill: Fill, clustered: Clustered
) -> None:
    device.error = DeviceError("no kernel searches it")
    collection, vectors = reopen(), clustered(300, 16, 1)
    fill(collection, vectors, "a")
    assert steps(collection) == ["sealed", "saved"]
    assert segment(collection)["backend"] == "cpu"
    assert segment(collection)["why"] == "not on cuda:0: no kernel searches it"
    assert not collection.upkeep.is_due
    assert found(collection, vectors[7], top_k=1) == ["a7"]
