"""Files that somebody else wrote, with checksums that are right: refused before they are parsed."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import orjson
import pytest

from indexes.base import Vectors
from indexes.catalog import Catalog
from indexes.errors import IndexFileError, SnapshotError
from indexes.ivf_pq import IvfPqIndex, IvfPqParams
from indexes.saved_index import packed, unpacked
from indexes.snapshot import Loaded, Snapshots
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy
from indexes.view import View

ROWS, DIMENSION = 400, 16
MUTATIONS, SEEDS = Path(__file__).with_name("mutations.py"), 1500


@pytest.fixture(scope="module")
def index() -> IvfPqIndex:
    vectors = np.random.default_rng(0).standard_normal((ROWS, DIMENSION), dtype=np.float32)
    return IvfPqIndex.train(vectors, "cosine", IvfPqParams(4, 2, 4))


def never(*_: object, **__: object) -> None:
    pytest.fail("FAISS was given a file that is none of ours")


# Indexes


def test_mutated_files_are_refused_or_read_and_never_crash() -> None:
    first = int(os.environ.get("QUARRY_MUTATIONS_FROM", "0"))
    command = [sys.executable, str(MUTATIONS), str(first), str(SEEDS)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, env=env, check=False)
    last = done.stderr.split()[-1:]
    assert done.returncode == 0, f"seed {last}: {done.returncode} {done.stdout[-500:]}"
    refused, read = map(int, done.stdout.split())
    assert refused > SEEDS / 3
    assert read > 0, "flipped codes and centroids are no fault that a file shows"


def other_kinds(vectors: Vectors) -> dict[str, faiss.Index]:
    def trained(index: faiss.Index) -> faiss.Index:
        index.train(vectors)
        index.add(vectors)
        return index

    flat = faiss.IndexFlatIP(DIMENSION)
    graph = faiss.IndexHNSWFlat(DIMENSION, 8, faiss.METRIC_INNER_PRODUCT)
    refined = faiss.IndexIVFPQR(faiss.IndexFlatL2(DIMENSION), DIMENSION, 4, 2, 8, 2, 8)
    over_graph = faiss.IndexIVFPQ(graph, DIMENSION, 4, 2, 8, faiss.METRIC_INNER_PRODUCT)
    plain = faiss.IndexIVFPQ(flat, DIMENSION, 4, 2, 8, faiss.METRIC_INNER_PRODUCT)
    twice = faiss.IndexPreTransform(faiss.RandomRotationMatrix(DIMENSION, DIMENSION), plain)
    mapped = faiss.IndexIDMap(faiss.IndexFlatIP(DIMENSION))
    mapped.add_with_ids(vectors, np.arange(ROWS))
    made = {"refined": trained(refined), "a graph of lists": trained(over_graph), "rotated": trained(twice)}
    made |= {"mapped": mapped, "flat": trained(faiss.IndexFlatIP(DIMENSION)), "scalar": trained(scalar())}
    return {name: faiss.clone_index(index) for name, index in made.items()}  # while its parts are here


def scalar() -> faiss.Index:
    return faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)


@pytest.mark.parametrize("kind", ["refined", "a graph of lists", "rotated", "mapped", "flat", "scalar"])
def test_an_index_of_another_kind_never_reaches_faiss(
    index: IvfPqIndex, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    vectors = np.random.default_rng(0).standard_normal((ROWS, DIMENSION), dtype=np.float32)
    data = faiss.serialize_index(other_kinds(vectors)[kind])
    monkeypatch.setattr(faiss, "deserialize_index", never)
    with pytest.raises(IndexFileError):
        IvfPqIndex.from_bytes(data, index.facts)


@pytest.mark.parametrize("levels", [2, 100_000])
def test_an_index_nested_without_end_never_reaches_faiss(
    index: IvfPqIndex, levels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAISS would follow it until the stack is used up."""
    monkeypatch.setattr(faiss, "deserialize_index", never)
    data = index.to_bytes().tobytes()
    nested = (b"IxPT" + data[4:37] + b"\0\0\0\0") * levels + data
    for rotated in (False, True):
        facts = replace(index.facts, params=replace(index.params, rotated=rotated))
        with pytest.raises(IndexFileError):
            IvfPqIndex.from_bytes(nested, facts)


@pytest.mark.parametrize(
    "changed",
    [
        {"dimension": 2**40}, {"dimension": -16}, {"dimension": "16"}, {"rows": 2**62}, {"rows": True},
        {"nlist": 0}, {"nlist": 2**63}, {"nlist": None}, {"m": 0}, {"m": 3}, {"m": 2.0}, {"rotated": 1},
        {"metric": "none"}, {"metric": ["l2"]},
    ],
    ids=str,
)  # fmt: skip
def test_what_a_file_says_of_its_shape_is_checked_too(index: IvfPqIndex, changed: dict[str, Any]) -> None:
    of_params = {name: value for name, value in changed.items() if name in {"nlist", "m", "rotated"}}
    of_facts = {name: value for name, value in changed.items() if name not in of_params}
    facts = replace(index.facts, params=replace(index.params, **of_params), **of_facts)
    with pytest.raises(IndexFileError):
        IvfPqIndex.from_bytes(index.to_bytes(), facts)


# Snapshots


@pytest.fixture
def sealed(tmp_path: Path, spec: CollectionSpec) -> tuple[Snapshots, dict[str, Any], dict[str, Any]]:
    """A folder of snapshots, and what a good one has: files and facts."""
    catalog = Catalog(tmp_path / "data", IndexPolicy(256, shadow_share=0))
    collection = catalog.ensure("docs", spec)[0]
    vectors = np.random.default_rng(1).standard_normal((ROWS, spec.dimension), dtype=np.float32)
    write_all(collection, vectors)
    collection.upkeep.step()
    view: View = collection._live.now
    assert view.sealed is not None
    files, facts = packed(view, view.sealed)
    copied = {name: bytes(data) for name, data in files.items()}
    said: dict[str, Any] = orjson.loads(orjson.dumps(facts))
    catalog.close()
    return Snapshots(tmp_path / "snapshots"), copied, said


def write_all(collection: Any, vectors: Vectors) -> None:  # noqa: ANN401
    from indexes.base import Chunk, Document  # noqa: PLC0415

    chunks = [Chunk("a", i, "x", i, i + 1) for i in range(len(vectors))]
    document = Document("a", "A", "x" * len(vectors), {}, None, "text", b"a")
    collection.put(document, chunks, vectors, collection.accept())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("index", "rows"), ROWS + 1), (("index", "rows"), 2**62), (("index", "rows"), "many"),
        (("index", "dimension"), 2**31), (("index", "metric"), "l2"), (("index", "params", "nlist"), 2**40),
        (("index", "params", "nprobe"), "all"), (("index", "params", "refine"), -1), (("index", "params"), []),
        (("index", "trained_rows"), None), (("curve", "points"), 7), (("version",), "new"), (("index",), None),
    ],
    ids=str,
)  # fmt: skip
def test_facts_that_do_not_hold_are_refused_before_faiss_reads(
    sealed: tuple[Snapshots, dict[str, Any], dict[str, Any]],
    spec: CollectionSpec,
    path: tuple[str, ...],
    value: object,
) -> None:
    """The manifest is the attacker's, so its checksums are right."""
    snapshots, files, facts = sealed
    assert unpacked(Loaded("good", facts, files), spec).version
    place = facts
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    snapshots.write(files, facts)
    loaded = snapshots.load()
    assert loaded is not None
    with pytest.raises(SnapshotError):
        unpacked(loaded, spec)


@pytest.mark.parametrize("ids", [[0], [5, 5], [9, 3], [-1]], ids=str)
def test_row_ids_that_do_not_ascend_are_refused(
    sealed: tuple[Snapshots, dict[str, Any], dict[str, Any]], spec: CollectionSpec, ids: list[int]
) -> None:
    _, files, facts = sealed
    rows = np.frombuffer(files["rows.int64"], dtype="<i8").copy()
    rows[: len(ids)] = ids
    with pytest.raises(SnapshotError, match="do not ascend"):
        unpacked(Loaded("bad", facts, files | {"rows.int64": rows.tobytes()}), spec)


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
@pytest.mark.parametrize("file", ["index", "manifest.json", "CURRENT"])
def test_a_snapshot_is_read_from_plain_files_alone(
    tmp_path: Path, plant: Callable[[Path, str], None], kind: str, file: str
) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    name = snapshots.write({"index": b"bytes"}, {})
    folder = tmp_path / "snapshots"
    plant(folder / "CURRENT" if file == "CURRENT" else folder / name / file, kind)
    problems: list[str] = []
    loaded = snapshots.load(problems.append)
    assert (loaded is None) == (file != "CURRENT")
    assert len(problems) == 1


def test_a_manifest_without_end_is_not_read(tmp_path: Path) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    snapshots.write({"index": b"bytes"}, {})
    (path,) = (tmp_path / "snapshots").glob("*/manifest.json")
    os.truncate(path, 1 << 40)
    problems: list[str] = []
    assert snapshots.load(problems.append) is None
    assert f"more than {16 << 20} bytes" in problems[0]
