"""Files that somebody else wrote, with checksums that are right: refused before they are parsed."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import orjson
import pytest

from indexes.backup import back_up, verify_backup
from indexes.backup_manifest import BackupManifest
from indexes.base import Vectors
from indexes.catalog import Catalog
from indexes.database import SqliteDatabase
from indexes.durable import Checksum
from indexes.errors import BackupError, DataDirectoryError, IndexFileError, SnapshotError, StoreUnavailableError
from indexes.ivf_pq import IvfPqIndex, IvfPqParams
from indexes.restore import restore
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


def plant(path: Path, kind: str, outside: Path) -> None:
    """In the place of a file: a link to the same bytes elsewhere, a pipe, a device."""
    if kind == "link":
        path.replace(outside)
        path.symlink_to(outside)
        return
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
@pytest.mark.parametrize("file", ["index", "manifest.json", "CURRENT"])
def test_a_snapshot_is_read_from_plain_files_alone(tmp_path: Path, kind: str, file: str) -> None:
    snapshots = Snapshots(tmp_path / "snapshots")
    name = snapshots.write({"index": b"bytes"}, {})
    folder = tmp_path / "snapshots"
    plant(folder / "CURRENT" if file == "CURRENT" else folder / name / file, kind, tmp_path / "outside")
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


# Backups


@pytest.fixture
def made(open_catalog: Callable[[], Catalog], put: Callable[..., str], spec: CollectionSpec, tmp_path: Path) -> Path:
    catalog = open_catalog()
    put(catalog.ensure("docs", spec)[0], "a", ["x"], np.ones((1, spec.dimension), dtype=np.float32))
    back_up(catalog, tmp_path / "made")
    catalog.close()
    return tmp_path / "made"


def store_of(made: Path) -> Path:
    (store,) = made.glob("collections/*/store.db")
    return store


def sealed_again(made: Path) -> None:
    """The checksums of whatever is there now, as whoever changed it would write them."""
    manifest = BackupManifest.read(made)
    files = {path: Checksum.of_file(made / path) for path in manifest.files}
    replace(manifest, files=files).write(made)


def refused(made: Path, tmp_path: Path, said: str) -> None:
    with pytest.raises(BackupError, match=said):
        restore(made, tmp_path / "restored")
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
@pytest.mark.parametrize("file", ["catalog.db", "store.db", "manifest.json", "manifest.json.sha256"])
def test_a_backup_is_read_from_plain_files_alone(made: Path, tmp_path: Path, kind: str, file: str) -> None:
    plant(store_of(made) if file == "store.db" else made / file, kind, tmp_path / "outside")
    refused(made, tmp_path, "backup")


def test_a_folder_that_is_a_link_is_not_followed(made: Path, tmp_path: Path) -> None:
    folder = store_of(made).parent
    folder.rename(tmp_path / "outside")
    folder.symlink_to(tmp_path / "outside")
    refused(made, tmp_path, "leads out of the backup")
    with pytest.raises(BackupError):
        verify_backup(made)


PLANTED = {
    "a trigger": "CREATE TRIGGER planted AFTER INSERT ON chunks BEGIN DELETE FROM documents; END",
    "a view": "CREATE VIEW planted AS SELECT * FROM documents",
    "a virtual table": "CREATE VIRTUAL TABLE planted USING fts5(x)",
    "a computed column": "ALTER TABLE documents ADD COLUMN planted AS (title || text)",
    "another column": "ALTER TABLE documents ADD COLUMN planted",
    "another table": "CREATE TABLE planted (x)",
    "another index": "CREATE INDEX planted ON documents(lower(title))",
    "an index of another kind": "DROP INDEX chunks_by_document; CREATE INDEX chunks_by_document ON chunks(abs(row))",
    "a view for a table": "ALTER TABLE operations RENAME TO planted; CREATE VIEW operations AS SELECT * FROM planted",
}


@pytest.mark.parametrize("what", PLANTED)
def test_a_store_with_a_schema_that_is_not_ours_is_not_restored(made: Path, tmp_path: Path, what: str) -> None:
    with closing(sqlite3.connect(store_of(made))) as connection:
        connection.executescript(PLANTED[what])
    sealed_again(made)
    refused(made, tmp_path, "is not restored: store.db has")


@pytest.mark.parametrize("what", ["a trigger", "a view", "a virtual table", "a computed column", "a view for a table"])
def test_nor_is_it_opened(tmp_path: Path, what: str) -> None:
    path, schema = tmp_path / "a.db", "CREATE TABLE documents (title, text); CREATE TABLE chunks (x);"
    schema += "CREATE TABLE operations (x);"
    SqliteDatabase(path, schema, 1).close()
    SqliteDatabase(path, schema, 1).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(PLANTED[what])
    with pytest.raises(StoreUnavailableError, match=r"a\.db has"):
        SqliteDatabase(path, schema, 1)


def test_a_file_of_a_store_whose_pages_are_mixed_up_is_not_restored(made: Path, tmp_path: Path) -> None:
    data = bytearray(store_of(made).read_bytes())
    data[3 * 4096 : 5 * 4096] = bytes(2 * 4096)
    store_of(made).write_bytes(data)
    sealed_again(made)
    refused(made, tmp_path, "store.db of the backup is")


OUTSIDE = ["../../outside", "/outside", "..", "", "A" * 32, "0" * 31 + "\n", "0" * 33]


@pytest.mark.parametrize("uid", OUTSIDE)
def test_a_catalogue_that_leads_elsewhere_is_neither_restored_nor_opened(
    made: Path, tmp_path: Path, uid: str, open_catalog: Callable[[], Catalog]
) -> None:
    """What has no name is a deletion to finish, so its folder would be removed."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    for path in (made / "catalog.db", tmp_path / "data" / "catalog.db"):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("INSERT INTO collections (uuid, name, spec) VALUES (?, NULL, '{}')", (uid,))
    sealed_again(made)
    refused(made, tmp_path, "which is not ours")
    with pytest.raises(DataDirectoryError, match="which is not ours"):
        open_catalog()
    assert (tmp_path / "outside" / "kept").exists()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("collections", 0, "uuid"), "../.."), (("collections", 0, "uuid"), None), (("collections", 0, "name"), 7),
        (("collections", 0, "documents"), -1), (("collections", 0, "schema_version"), "9"), (("collections",), 7),
        (("schema_version",), None), (("files", "catalog.db", "bytes"), -1), (("files", "catalog.db", "bytes"), 1e300),
        (("files", "catalog.db", "bytes"), "12"), (("files", "catalog.db", "sha256"), 12), (("files",), []),
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_with_other_values_is_refused(
    made: Path, tmp_path: Path, path: tuple[Any, ...], value: object
) -> None:
    manifest = orjson.loads((made / "manifest.json").read_bytes())
    place = manifest
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    data = orjson.dumps(manifest)
    (made / "manifest.json").write_bytes(data)
    (made / "manifest.json.sha256").write_bytes(f"{Checksum.of(data).sha256}  manifest.json\n".encode())
    refused(made, tmp_path, "manifest.json is not understood")


def test_a_manifest_without_end_or_without_a_bottom_is_refused(made: Path, tmp_path: Path) -> None:
    data = b"[" * 100_000
    (made / "manifest.json").write_bytes(data)
    (made / "manifest.json.sha256").write_bytes(f"{Checksum.of(data).sha256}  manifest.json\n".encode())
    refused(made, tmp_path, "manifest.json is not understood")
    os.truncate(made / "manifest.json", 1 << 40)
    refused(made, tmp_path, "more than")
