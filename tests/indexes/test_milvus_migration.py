"""A collection goes to Milvus and comes back; nothing is lost, however often it is cut short."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from typer.testing import CliRunner

from indexes.base import SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.errors import MigratedAlreadyError, MilvusUnavailableError, UnequalRowsError
from indexes.milvus_place import FILE, MilvusPlace
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy
from milvus_lite import MilvusLite

pytestmark = pytest.mark.cluster

Clustered = Callable[[int, int, int], Vectors]
# A MilvusMigration and a MilvusServer: their modules an extra brings.
Migration: TypeAlias = Any
Server: TypeAlias = Any
DIMENSION = 16


@pytest.fixture
def server(milvus_server: Callable[[str], Any]) -> Server:
    return milvus_server("FLAT")


@pytest.fixture
def open_here(tmp_path: Path, server: Server) -> Callable[[], Catalog]:
    """The data directory by a program that knows Milvus; existing collections stay where they are."""
    return lambda: Catalog(tmp_path / "data", IndexPolicy(256, shadow_share=0), milvus=server)


@pytest.fixture
def vectors(clustered: Clustered) -> Vectors:
    return clustered(400, DIMENSION, 3)


@pytest.fixture
def folder(tmp_path: Path, spec: CollectionSpec, put: Callable[..., str], vectors: Vectors) -> Path:
    """Of a local collection ``docs`` of 50 documents with eight chunks each, two of them replaced or deleted."""
    catalog = Catalog(tmp_path / "data", IndexPolicy(256, shadow_share=0))
    collection, _ = catalog.ensure("docs", spec)
    for at in range(50):
        put(collection, f"d{at}", list("abcdefgh"), vectors[8 * at : 8 * at + 8])
    while collection.upkeep.step():
        pass
    put(collection, "d3", ["replaced"], vectors[24:25])
    collection.delete("d4", collection.accept())
    catalog.close()
    (folder,) = (tmp_path / "data" / "collections").iterdir()
    return folder


@pytest.fixture
def migration(folder: Path, spec: CollectionSpec, server: Server) -> Migration:
    from indexes.milvus_migration import MilvusMigration  # noqa: PLC0415  an extra

    return MilvusMigration(folder, spec, server)


def found(collection: Collection, vectors: Vectors) -> list[tuple[str, float]]:
    params = SearchParams(top_k=10, nprobe=10**6, refine=10**6)
    hits = [hit for vector in vectors[::40] for hit in collection.search(vector, params)]
    return [(hit.chunk.id, round(hit.score, 4)) for hit in hits]


CHUNKS = 48 * 8 + 1


def test_there_and_back_a_search_finds_the_same(
    migration: Migration,
    open_here: Callable[[], Catalog],
    vectors: Vectors,
    folder: Path,
    server: Server,
) -> None:
    catalog = open_here()
    here = found(catalog.get("docs"), vectors)
    catalog.close()
    migrated = migration.there()
    assert (migrated.documents, migrated.rows, migrated.sent) == (49, CHUNKS, CHUNKS)
    assert not (folder / "snapshots").exists()
    with pytest.raises(MigratedAlreadyError, match="on Milvus already"):
        migration.there()
    catalog = open_here()
    collection = catalog.get("docs")
    assert collection.describe().segments[0]["index"] == "milvus"
    assert not collection.upkeep.is_due
    assert found(collection, vectors) == here
    collection.delete("d5", collection.accept())
    catalog.close()
    back = migration.back()
    assert (back.documents, back.rows, back.sent) == (48, CHUNKS - 8, 0)
    assert back.name not in server.client.list_collections()
    with pytest.raises(MigratedAlreadyError, match="here already"):
        migration.back()
    catalog = open_here()
    collection = catalog.get("docs")
    assert collection.describe().segments[0]["index"] != "milvus"
    assert [hit for hit in here if not hit[0].startswith("d5#")][:5] == found(collection, vectors)[:5]
    catalog.close()
    assert sorted(path.name for path in folder.glob("milvus*")) == []


def test_it_goes_on_where_it_was_cut_short(
    migration: Migration,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    server: Server,
) -> None:
    from indexes import milvus_comparison  # noqa: PLC0415  an extra

    monkeypatch.setattr(milvus_comparison, "BLOCK_ROWS", 100)
    before = set(server.client.list_collections())
    upsert, calls = milvus_comparison.MilvusTable.upsert, 0

    def failing(self: Any, entities: Any) -> None:  # noqa: ANN401
        nonlocal calls
        calls += 1
        if calls > 2:
            raise MilvusUnavailableError("gone")
        upsert(self, entities)

    with monkeypatch.context() as patched:
        patched.setattr(milvus_comparison.MilvusTable, "upsert", failing)
        with pytest.raises(MilvusUnavailableError):
            migration.there()
    assert not (folder / FILE).exists(), "searches look where they did"
    assert (folder / "snapshots").exists()
    migrated = migration.there()
    assert 0 < migrated.sent < CHUNKS
    assert migrated.rows == CHUNKS
    assert len(set(server.client.list_collections()) - before) == 1, "no second one was begun"
    migration.back()


def test_what_milvus_gives_back_otherwise_ends_it(
    migration: Migration,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from indexes.milvus_client import MilvusTable  # noqa: PLC0415  an extra

    upsert = MilvusTable.upsert

    def changed(self: Any, entities: Any) -> None:  # noqa: ANN401
        worse = [entity | {"vector": np.asarray(entity["vector"]) * np.float32(1.01)} for entity in entities[:1]]
        upsert(self, [*worse, *entities[1:]])

    monkeypatch.setattr(MilvusTable, "upsert", changed)
    with pytest.raises(UnequalRowsError, match=f"Milvus has 1 of {CHUNKS} rows otherwise than the store"):
        migration.there()
    assert not (folder / FILE).exists()
    monkeypatch.undo()
    assert migration.there().sent == 1, "the one whose checksum says that all is well"
    table = migration.server.table(MilvusPlace.read(folder).name, migration.spec)
    table.delete([7])
    with pytest.raises(UnequalRowsError, match=f"lacks 1 of {CHUNKS} rows; Milvus counts {CHUNKS - 1} rows"):
        migration.back()
    assert (folder / FILE).exists()


def test_a_way_back_that_was_cut_short_before_the_drop_is_finished(
    migration: Migration,
    folder: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = migration.there().name
    with monkeypatch.context() as patched:

        def refused(_: str) -> None:
            raise MilvusUnavailableError("gone")

        patched.setattr(server, "drop", refused)
        with pytest.raises(MilvusUnavailableError):
            migration.back()
    assert not (folder / FILE).exists()
    assert asdict(migration.back()) == {"documents": 0, "rows": 0, "sent": 0, "name": name}
    assert name not in server.client.list_collections()


def test_the_command(folder: Path, tmp_path: Path, milvus_lite: MilvusLite, monkeypatch: pytest.MonkeyPatch) -> None:
    from service.cli.main import app  # noqa: PLC0415  brings the service

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["migrate", *arguments, "--data-dir", str(tmp_path / "data")])
        return result.exit_code, " ".join(result.output.split())

    code, said = run("docs", "--to", "milvus")
    assert (code, "index.milvus.url is not set" in said) == (1, True)
    monkeypatch.setenv("QUARRY_INDEX__MILVUS__URL", milvus_lite.url)
    monkeypatch.setenv("QUARRY_INDEX__MILVUS__TYPE", "FLAT")
    assert "there is no collection 'other'" in run("other", "--to", "milvus")[1]
    code, said = run("docs", "--to", "milvus")
    assert (code, said) == (
        0,
        f"docs is searched on Milvus: 49 documents, {CHUNKS} chunks compared byte by byte, {CHUNKS} sent",
    )
    assert run("docs", "--to", "milvus")[0] == 1
    code, said = run("docs", "--to", "local", "--json")
    assert code == 0
    assert f'"rows": {CHUNKS}' in said
    assert list(folder.glob("milvus*")) == []
