"""Vectors, documents and collections for the tests of this room."""

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexes import lexical as lexical_module
from indexes.base import Chunk, Document, Vectors
from indexes.catalog import Catalog
from indexes.collection import Collection
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy
from indexes.writer import GroupCommitWriter

DIMENSION = 16
SEAL_ROWS = 256


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What holds for every collection is tried on Milvus too."""
    if metafunc.definition.get_closest_marker("contract"):
        on_milvus = [pytest.param(index, marks=pytest.mark.cluster) for index in ("FLAT", "HNSW")]
        metafunc.parametrize("milvus", ["here", *on_milvus], indirect=True)


@pytest.fixture
def clustered() -> Callable[[int, int, int], Vectors]:
    """(rows, dimension, seed) -> unit vectors around one centre for each fifty rows."""

    def make(rows: int, dimension: int, seed: int) -> Vectors:
        print(f"seed {seed}")  # noqa: T201  names the data of a failure
        rng = np.random.default_rng(seed)
        centres = rng.normal(size=(max(1, rows // 50), dimension))
        noise = 0.5 * rng.normal(size=(rows, dimension))
        vectors = centres[rng.integers(len(centres), size=rows)] + noise
        return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    return make


@pytest.fixture
def spec() -> CollectionSpec:
    return CollectionSpec("test-model", "test-fingerprint", DIMENSION, chunk_size=100, chunk_overlap=0)


@pytest.fixture
def cut() -> Callable[[str, Sequence[str]], tuple[Document, list[Chunk]]]:
    """(id, pieces) -> a document whose text is the pieces, one chunk for each."""

    def make(document_id: str, pieces: Sequence[str]) -> tuple[Document, list[Chunk]]:
        text = "".join(pieces)
        ends = np.cumsum([len(piece) for piece in pieces], dtype=int).tolist()
        starts = [0, *ends[:-1]]
        chunks = [Chunk(document_id, i, text[s:e], s, e) for i, (s, e) in enumerate(zip(starts, ends, strict=False))]
        return Document(document_id, f"About {document_id}", text, {}, None, "text", text.encode()), chunks

    return make


@pytest.fixture
def milvus(request: pytest.FixtureRequest) -> Any:  # noqa: ANN401  a MilvusServer, whose module an extra brings
    """None, where vectors are searched here; tests that hold for both ask for ``contract``."""
    kind = getattr(request, "param", "here")
    if kind == "here":
        return None
    server: Callable[[str], Any] = request.getfixturevalue("milvus_server")
    return server(kind)


@pytest.fixture
def open_catalog(tmp_path: Path, milvus: Any) -> Iterator[Callable[[], Catalog]]:  # noqa: ANN401  as above
    """Opens the same data directory again and again, closing what was open."""
    opened: list[Catalog] = []

    def reopen() -> Catalog:
        if opened:
            opened.pop().close()
        opened.append(Catalog(tmp_path / "data", IndexPolicy(SEAL_ROWS, shadow_share=0), milvus=milvus))
        return opened[0]

    yield reopen
    if opened:
        last = opened.pop()
        if milvus and not last._database.is_closed:
            for alias in last.aliases():
                last.remove_alias(alias)
            for name in last.names():
                last.drop(name)
        last.close()


@pytest.fixture
def open_collection(open_catalog: Callable[[], Catalog], spec: CollectionSpec) -> Callable[[], Collection]:
    """The collection ``docs`` of the data directory, read from disk again at each call."""
    return lambda: open_catalog().ensure("docs", spec)[0]


@pytest.fixture
def put(cut: Callable[..., tuple[Document, list[Chunk]]]) -> Callable[..., str]:
    """(collection, id, pieces, vectors, seq) -> outcome; without ``seq`` the write is accepted now."""

    def write(
        collection: Collection, document_id: str, pieces: Sequence[str], vectors: Vectors, seq: int | None = None
    ) -> str:
        document, chunks = cut(document_id, pieces)
        return collection.put(document, chunks, vectors, collection.accept() if seq is None else seq).outcome

    return write


@pytest.fixture
def writer() -> Iterator[GroupCommitWriter]:
    writer = GroupCommitWriter()
    yield writer
    writer.close()


@pytest.fixture
def cannot_roll_back() -> Callable[[sqlite3.Connection], None]:
    """Makes every ROLLBACK of a connection fail, and what it leaves open stays open."""

    def make(connection: sqlite3.Connection) -> None:
        def allow(action: int, what: str | None, *_: str | None) -> int:
            is_rollback = (action, what) == (sqlite3.SQLITE_TRANSACTION, "ROLLBACK")
            return sqlite3.SQLITE_DENY if is_rollback else sqlite3.SQLITE_OK

        connection.set_authorizer(allow)

    return make


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes thousands of rows takes a few."""
    sizes = {"_FLUSH_ROWS": 8, "_MOST_NEWEST": 20, "_BLOCK_ROWS": 7, "_AT_ONCE": 5, "_FEW_DEAD": 6}
    for name, size in sizes.items():
        monkeypatch.setattr(lexical_module, name, size)


@pytest.fixture
def plant(tmp_path: Path) -> Callable[[Path, str], None]:
    """(path, kind) -> in the place of a file: a link to the same bytes elsewhere, a pipe, a device."""

    def put(path: Path, kind: str) -> None:
        if kind == "link":
            path.replace(tmp_path / "outside")
            path.symlink_to(tmp_path / "outside")
            return
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")

    return put
