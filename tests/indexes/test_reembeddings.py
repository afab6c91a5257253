"""Collections with a mirror, and aliases, in the catalogue."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from indexes.base import Vectors
from indexes.catalog import Catalog
from indexes.collection import CollectionSpec
from indexes.errors import (
    AliasNotFoundError,
    CollectionConflictError,
    CollectionNotFoundError,
    InvalidNameError,
    StoreUnavailableError,
)

Open = Callable[[], Catalog]
Put = Callable[..., str]

# What a catalogue was made with before there were aliases and mirrors.
VERSION_1 = """
CREATE TABLE collections (
    uuid TEXT PRIMARY KEY, name TEXT UNIQUE, spec TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
INSERT INTO collections (uuid, name, spec) VALUES ('12345678123456781234567812345678', 'docs', '{
    "embedding_model": "test-model", "fingerprint": "test-fingerprint", "dimension": 16, "chunk_size": 100,
    "chunk_overlap": 0, "metric": "cosine"}');
PRAGMA user_version=1;
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def other(spec: CollectionSpec) -> CollectionSpec:
    return replace(spec, embedding_model="other-model", dimension=8)


@pytest.fixture
def vector() -> Vectors:
    return np.ones((1, 16), dtype=np.float32)


def edit(data_dir: Path, sql: str) -> None:
    connection = sqlite3.connect(data_dir / "catalog.db")
    connection.executescript(sql)
    connection.close()


def folders(data_dir: Path) -> set[str]:
    return {folder.name for folder in (data_dir / "collections").iterdir()}


def models(catalog: Catalog) -> list[str]:
    """Of the collection `docs` and its mirror."""
    return [collection.spec.embedding_model for collection in catalog.route("docs").collections]


def test_a_catalogue_of_version_1_is_brought_forward(open_catalog: Open, data_dir: Path, other: CollectionSpec) -> None:
    data_dir.mkdir()
    edit(data_dir, VERSION_1)
    folder = data_dir / "collections" / "12345678123456781234567812345678"
    folder.mkdir(parents=True)
    (folder / "store.db").touch()
    catalog = open_catalog()
    assert catalog.names() == ["docs"]
    catalog.set_alias("live", "docs")
    catalog.link("docs", other)
    catalog = open_catalog()
    assert catalog.aliases() == {"live": "docs"}
    assert models(catalog) == ["test-model", "other-model"]


def test_an_alias_leads_to_its_collection_now_and_after_reopening(open_catalog: Open, spec: CollectionSpec) -> None:
    catalog = open_catalog()
    one, two = catalog.ensure("one", spec)[0], catalog.ensure("two", spec)[0]
    assert catalog.set_alias("live", "one")
    assert catalog.get("live") is one
    assert catalog.ensure("live", spec) == (one, False)
    assert not catalog.set_alias("live", "two")
    assert catalog.get("live") is two
    assert catalog.set_alias("second", "live")
    assert catalog.names() == ["one", "two"]
    assert "live" in catalog
    assert open_catalog().aliases() == {"live": "two", "second": "two"}


def test_a_removed_alias_is_free_for_a_collection(open_catalog: Open, spec: CollectionSpec) -> None:
    catalog = open_catalog()
    catalog.ensure("one", spec)
    catalog.set_alias("live", "one")
    catalog.remove_alias("live")
    with pytest.raises(CollectionNotFoundError, match="'live'"):
        catalog.get("live")
    with pytest.raises(AliasNotFoundError, match="'live'"):
        catalog.remove_alias("live")
    assert catalog.ensure("live", spec)[1]
    catalog = open_catalog()
    assert (catalog.aliases(), catalog.names()) == ({}, ["live", "one"])


def test_what_cannot_be_an_alias(open_catalog: Open, spec: CollectionSpec) -> None:
    catalog = open_catalog()
    catalog.ensure("one", spec)
    with pytest.raises(CollectionConflictError, match="'one' is the name of a collection"):
        catalog.set_alias("one", "one")
    with pytest.raises(CollectionNotFoundError, match="'absent'"):
        catalog.set_alias("live", "absent")
    with pytest.raises(InvalidNameError, match="'a b'"):
        catalog.set_alias("a b", "one")
    with pytest.raises(AliasNotFoundError, match="'one'"):
        catalog.remove_alias("one")
    assert catalog.aliases() == {}


def test_a_collection_with_aliases_is_not_dropped(open_catalog: Open, spec: CollectionSpec) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    for alias in ("live", "also"):
        catalog.set_alias(alias, "docs")
    with pytest.raises(CollectionConflictError, match="'docs' is named by the aliases 'also', 'live'"):
        catalog.drop("live")
    assert open_catalog().names() == ["docs"]


@pytest.mark.contract
def test_a_mirror_has_no_name_and_is_kept(
    open_catalog: Open, spec: CollectionSpec, other: CollectionSpec, data_dir: Path
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    catalog.link("docs", other)
    for opened in (catalog, open_catalog()):
        assert opened.names() == ["docs"]
        assert models(opened) == ["test-model", "other-model"]
        link = opened.route("docs").reembedding
        assert link is not None
        assert link.state == "building"
    assert len(folders(data_dir)) == 2


@pytest.mark.contract
def test_the_name_moves_with_its_aliases_and_back(
    open_catalog: Open, spec: CollectionSpec, other: CollectionSpec, put: Put, vector: Vectors
) -> None:
    catalog = open_catalog()
    put(catalog.ensure("docs", spec)[0], "a", ["x"], vector)
    catalog.set_alias("live", "docs")
    catalog.link("live", other)
    catalog.move("docs", "switched")
    assert models(catalog) == ["other-model", "test-model"]
    catalog = open_catalog()
    assert models(catalog) == ["other-model", "test-model"]
    assert catalog.get("live") is catalog.get("docs")
    catalog.mark("docs", "rolling_back")
    link = open_catalog().route("docs").reembedding
    assert link is not None
    assert (link.state, link.is_moving) == ("rolling_back", True)
    catalog = open_catalog()
    catalog.move("live", "rolled_back")
    catalog = open_catalog()
    assert models(catalog) == ["test-model", "other-model"]
    assert catalog.get("live").document("a").text == "x"


@pytest.mark.contract
def test_what_is_unlinked_is_gone(
    open_catalog: Open, spec: CollectionSpec, other: CollectionSpec, data_dir: Path
) -> None:
    catalog = open_catalog()
    source = catalog.ensure("docs", spec)[0]
    before = folders(data_dir)
    catalog.link("docs", other)
    catalog.move("docs", "switched")
    catalog.unlink("docs")
    assert models(catalog) == ["other-model"]
    assert folders(data_dir).isdisjoint(before)
    with pytest.raises(StoreUnavailableError):
        source.document("a")
    catalog = open_catalog()
    assert models(catalog) == ["other-model"]
    catalog.link("docs", spec)


def test_an_unlinking_that_was_interrupted_is_finished(
    open_catalog: Open, spec: CollectionSpec, other: CollectionSpec, data_dir: Path
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    before = folders(data_dir)
    catalog.link("docs", other)
    catalog.close()
    edit(data_dir, "DELETE FROM reembeddings")
    assert models(open_catalog()) == ["test-model"]
    assert folders(data_dir) == before


def test_a_mirror_without_files_yet_is_empty(
    open_catalog: Open, spec: CollectionSpec, other: CollectionSpec, data_dir: Path
) -> None:
    """The process died after the catalogue knew of it."""
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    before = folders(data_dir)
    catalog.link("docs", other)
    catalog.close()
    (made,) = folders(data_dir) - before
    for file in (data_dir / "collections" / made).iterdir():
        file.unlink()
    (data_dir / "collections" / made).rmdir()
    mirror = open_catalog().route("docs").mirror
    assert mirror is not None
    assert mirror.describe().documents == 0


def test_a_mirror_that_cannot_be_made_leaves_nothing(
    open_catalog: Open,
    spec: CollectionSpec,
    other: CollectionSpec,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    with monkeypatch.context() as patched:
        patched.setattr("indexes.collection_folders.Store", None)
        with pytest.raises(TypeError):
            catalog.link("docs", other)
    assert len(folders(data_dir)) == 1
    assert models(catalog) == ["test-model"]
    catalog.link("docs", other)


@pytest.mark.parametrize("mirror_too", [False, True])
def test_a_damaged_primary_keeps_its_mirrors_files(
    open_catalog: Open, spec: CollectionSpec, other: CollectionSpec, data_dir: Path, mirror_too: bool
) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    before = folders(data_dir)
    catalog.link("docs", other)
    catalog.close()
    for name in folders(data_dir) if mirror_too else before:
        (data_dir / "collections" / name / "store.db").write_bytes(b"no database" * 1000)
    catalog = open_catalog()
    with pytest.raises(StoreUnavailableError, match="'docs' could not be opened"):
        catalog.route("docs")
    with pytest.raises(StoreUnavailableError):
        catalog.unlink("docs")
    assert len(folders(data_dir)) == 2
    catalog.drop("docs")
    assert folders(data_dir) == set()


def test_what_does_not_fit_is_a_conflict(open_catalog: Open, spec: CollectionSpec, other: CollectionSpec) -> None:
    catalog = open_catalog()
    catalog.ensure("docs", spec)
    for act in (lambda: catalog.unlink("docs"), lambda: catalog.move("docs", "switched")):
        with pytest.raises(CollectionConflictError, match="'docs' is not being re-embedded"):
            act()
    catalog.link("docs", other)
    with pytest.raises(CollectionConflictError, match="'docs' is being re-embedded already"):
        catalog.link("docs", spec)
