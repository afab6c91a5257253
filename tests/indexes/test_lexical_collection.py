"""What a collection does as a whole takes its words along: starts, backups, purges, drops, languages."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from indexes import restore
from indexes.backup import back_up
from indexes.base import Hybrid, SearchParams, Vectors
from indexes.catalog import Catalog
from indexes.catalog_rows import SCHEMA_VERSION
from indexes.collection import Collection
from indexes.errors import (
    CollectionConflictError,
    ErasureError,
    LexicalError,
    StoreUnavailableError,
    UnknownLanguageError,
)
from indexes.finding import find
from indexes.lexical import LexicalIndex
from indexes.lexical_disk import Written
from indexes.lexical_view import LexicalView
from indexes.spec import CollectionSpec

Open = Callable[[], Catalog]
OpenCollection = Callable[[], Collection]
Put = Callable[..., str]

QUERY: Vectors = np.ones(16, dtype=np.float32)
ROW: Vectors = np.eye(1, 16, dtype=np.float32)


def worded(collection: Collection, text: str) -> list[str]:
    """Ids of the chunks that have a word of the text, best first."""
    found = collection.searched(QUERY, SearchParams(50, hybrid=Hybrid(text, 0.0)))
    assert found.without_lexical is None
    return [hit.chunk.id for hit in found.hits if hit.scores["lexical"] > 0]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


def lexical_files(data_dir: Path) -> list[Path]:
    return [path for path in data_dir.glob("collections/*/lexical/**/*") if path.is_file()]


def test_words_are_found_when_a_write_returns_and_not_after_a_delete(open_collection: OpenCollection, put: Put) -> None:
    collection = open_collection()
    put(collection, "a", ["granite cliffs"], ROW)
    assert worded(collection, "cliffs") == ["a#0"]
    put(collection, "a", ["chalk hills"], ROW)
    assert (worded(collection, "cliffs"), worded(collection, "hills")) == ([], ["a#0"])
    assert worded(collection, "About") == ["a#0"], "the title"
    collection.delete("a", collection.accept())
    assert worded(collection, "hills about") == []


def test_a_start_finds_what_the_one_before_did(open_collection: OpenCollection, put: Put, data_dir: Path) -> None:
    collection = open_collection()
    for n in range(20):
        put(collection, f"d{n}", [f"common word{n}"], ROW)
        if n == 10:
            collection.lexical.settle()
    for _ in range(2):
        collection = open_collection()
        assert len(worded(collection, "common")) == 20
        assert collection.describe().lexical == collection.lexical.state
        assert collection.lexical.state.rows == 20
        assert collection.verify().problems == []
        collection.lexical.settle()
    assert lexical_files(data_dir)


def test_a_damaged_file_is_told_by_verify_and_a_rebuild_makes_it_good(
    open_collection: OpenCollection, put: Put, data_dir: Path
) -> None:
    collection = open_collection()
    put(collection, "a", ["granite"], ROW)
    collection.lexical.settle()
    file = next(path for path in lexical_files(data_dir) if path.suffix == ".fieldnorm")
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    (said,) = collection.verify().problems
    assert f"{file.name} is damaged" in said
    collection.rebuild()
    assert collection.verify().problems == []
    assert worded(collection, "granite") == ["a#0"]


def test_what_a_start_found_damaged_is_told_until_it_is_written_anew(
    open_collection: OpenCollection, put: Put, data_dir: Path
) -> None:
    collection = open_collection()
    put(collection, "a", ["granite"], ROW)
    collection.lexical.settle()
    collection.close()
    file = next(path for path in lexical_files(data_dir) if path.suffix == ".idx")
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    collection = open_collection()
    assert worded(collection, "granite") == ["a#0"]
    for told in (collection.describe().trouble, collection.verify().problems):
        assert [file.name in said for said in told] == [True]
    collection.lexical.settle()
    assert list(collection.verify().problems) == list(collection.describe().trouble) == []


def test_a_purge_leaves_no_row_that_was_deleted(
    open_collection: OpenCollection, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = open_collection()
    put(collection, "a", ["confidential matter"], ROW)
    put(collection, "b", ["public matter"], ROW)
    collection.lexical.settle()
    rows = np.array([1, 2, 3])
    assert collection.lexical.view.holding(rows).tolist() == [1, 2]
    collection.delete("a", collection.accept())
    with monkeypatch.context() as patch:
        patch.setattr(collection.lexical, "rebuild", lambda: None)
        with pytest.raises(ErasureError, match="1 of 1 deleted rows are still in the lexical index"):
            collection.purge([])
    collection.delete("a", collection.accept())
    put(collection, "c", ["matter of confidence"], ROW)
    collection.delete("c", collection.accept())
    collection.purge([])
    assert collection.lexical.view.holding(rows).tolist() == [2]
    assert worded(collection, "matter") == ["b#0"]
    collection.lexical.settle()
    assert collection.lexical.view.holding(rows).tolist() == [2]
    view = collection.lexical.view
    assert view.frequency("confidence") == view.frequency("confidential") == 0


def test_a_purge_fails_where_files_with_words_of_what_was_deleted_cannot_be_removed(
    open_collection: OpenCollection, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = open_collection()
    put(collection, "a", ["confidential matter"], ROW)
    collection.lexical.settle()
    collection.delete("a", collection.accept())
    with monkeypatch.context() as patch:
        patch.setattr("indexes.word_folders.discard", lambda _: None)
        with pytest.raises(LexicalError, match="cannot be removed"):
            collection.purge([])
    assert collection.purge([]).found == ()


def test_a_backup_has_no_words_and_what_is_restored_finds_them(
    open_catalog: Open, open_collection: OpenCollection, put: Put, tmp_path: Path
) -> None:
    collection = open_collection()
    put(collection, "a", ["granite"], ROW)
    collection.lexical.settle()
    catalog_files = back_up(open_catalog(), tmp_path / "backup").files
    assert not [path for path in catalog_files if "lexical" in path]
    restore.restore(tmp_path / "backup", tmp_path / "restored")
    with closing(Catalog(tmp_path / "restored", collection.upkeep._policy)) as catalog:
        assert worded(catalog.get("docs"), "granite") == ["a#0"]


def test_a_store_of_an_earlier_day_does_not_find_the_words_of_a_later_one(
    open_collection: OpenCollection, put: Put, data_dir: Path
) -> None:
    """Its rows are given out a second time, to other texts."""
    collection = open_collection()
    put(collection, "a", ["granite"], ROW)
    (store,) = data_dir.glob("collections/*/store.db")
    collection._store.database.write_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    earlier = store.read_bytes()
    put(collection, "b", ["marble"], ROW)
    collection.lexical.settle()
    collection.close()
    for name in ("store.db-wal", "store.db-shm"):
        store.with_name(name).unlink(missing_ok=True)
    store.write_bytes(earlier)
    collection = open_collection()
    put(collection, "c", ["slate"], ROW)
    assert (worded(collection, "marble"), worded(collection, "slate")) == ([], ["c#0"])


def test_a_dropped_collection_takes_its_words_along(
    open_catalog: Open, open_collection: OpenCollection, put: Put, data_dir: Path
) -> None:
    collection = open_collection()
    put(collection, "a", ["granite"] * 9, np.repeat(ROW, 9, axis=0))
    collection.lexical.settle()
    threads = [each.name for each in threading.enumerate()]
    assert threads.count("quarry-lexical") >= 1
    catalog = open_catalog()
    put(catalog.get("docs"), "b", ["granite"] * 9, np.repeat(ROW, 9, axis=0))
    catalog.drop("docs")
    assert list((data_dir / "collections").iterdir()) == []
    catalog.close()
    assert [each.name for each in threading.enumerate()].count("quarry-lexical") == threads.count("quarry-lexical") - 1


def test_a_full_disk_costs_neither_a_write_nor_a_search(
    open_collection: OpenCollection, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = open_collection()

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("indexes.word_folders.os.listdir", refuse)
    monkeypatch.setattr("indexes.lexical._FLUSH_ROWS", 1)
    put(collection, "a", ["granite"], ROW)
    deadline = time.monotonic() + 60
    while not collection.describe().trouble:
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)
    assert "No space left on device" in collection.describe().trouble[0]
    put(collection, "b", ["granite"], ROW)
    assert sorted(worded(collection, "granite")) == ["a#0", "b#0"]


# Language


def test_a_language_is_part_of_the_identity(open_catalog: Open, spec: CollectionSpec, put: Put) -> None:
    catalog = open_catalog()
    english, _ = catalog.ensure("en", replace(spec, language="en"))
    plain, _ = catalog.ensure("plain", spec)
    for collection in (english, plain):
        put(collection, "a", ["the running cats"], ROW)
    assert (worded(english, "cat runs"), worded(plain, "cat runs")) == (["a#0"], [])
    assert (worded(english, "the"), worded(plain, "the")) == ([], ["a#0"])
    with pytest.raises(CollectionConflictError, match="language is 'en', not 'unicode'"):
        catalog.ensure("en", spec)
    assert open_catalog().get("en").spec.language == "en"


def test_an_unknown_language_is_refused_before_anything_is_made(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path
) -> None:
    with pytest.raises(UnknownLanguageError, match="'klingon' is no language of a collection"):
        open_catalog().ensure("docs", replace(spec, language="klingon"))
    assert list((data_dir / "collections").iterdir()) == []


def test_a_catalogue_of_before_has_collections_of_any_language(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path
) -> None:
    open_catalog().ensure("docs", spec)
    open_catalog().close()
    older = {key: value for key, value in asdict(spec).items() if key != "language"}
    with closing(sqlite3.connect(data_dir / "catalog.db")) as connection, connection:
        connection.execute("UPDATE collections SET spec = ?", (json.dumps(older),))
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION - 1}")
    assert open_catalog().get("docs").spec == spec
    open_catalog().close()
    with closing(sqlite3.connect(data_dir / "catalog.db")) as connection:
        ((stored,),) = connection.execute("SELECT spec FROM collections").fetchall()
    assert json.loads(stored)["language"] == "unicode"


def test_an_identity_that_is_no_json_does_not_keep_the_others_from_being_migrated(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path
) -> None:
    for name in ("bad", "good"):
        open_catalog().ensure(name, spec)
    open_catalog().close()
    with closing(sqlite3.connect(data_dir / "catalog.db")) as connection, connection:
        connection.execute("UPDATE collections SET spec = '{' WHERE name = 'bad'")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION - 1}")
    catalog = open_catalog()
    assert catalog.damaged() == ["bad"]
    assert catalog.get("good").version == 0


@pytest.mark.parametrize("language", ["klingon", 5, None, ["en"]])
def test_a_language_that_nobody_knows_costs_its_own_collection_alone(
    open_catalog: Open, spec: CollectionSpec, data_dir: Path, language: object
) -> None:
    for name in ("bad", "good"):
        open_catalog().ensure(name, spec)
    open_catalog().close()
    stored = json.dumps(asdict(spec) | {"language": language})
    with closing(sqlite3.connect(data_dir / "catalog.db")) as connection, connection:
        connection.execute("UPDATE collections SET spec = ? WHERE name = 'bad'", (stored,))
    catalog = open_catalog()
    assert catalog.damaged() == ["bad"]
    with pytest.raises(StoreUnavailableError, match="is no language of a collection"):
        catalog.get("bad")
    assert catalog.get("good").version == 0


@pytest.mark.parametrize("texts", [["東京タワー", "大阪城"], ["ภาษาไทย", "กรุงเทพ"], ["Überraschung", "Straße"]])
def test_any_script_can_be_searched(open_collection: OpenCollection, put: Put, texts: Sequence[str]) -> None:
    collection = open_collection()
    put(collection, "a", texts, np.repeat(ROW, len(texts), axis=0))
    for n, text in enumerate(texts):
        assert worded(collection, text)[0] == f"a#{n}"
        assert worded(collection, text.upper())[0] == f"a#{n}"


def test_a_search_takes_its_words_after_its_version(
    open_collection: OpenCollection, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A document that is put while a search runs is not among its hits, and does not disturb it."""
    collection = open_collection()
    put(collection, "a", ["granite"], ROW)
    best = LexicalView.best

    def late(view: LexicalView, *arguments: object) -> object:
        put(collection, "late", ["granite"], ROW)
        return best(collection.lexical.view, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(LexicalView, "best", late)
    assert worded(collection, "granite") == ["a#0"]
    monkeypatch.undo()
    assert sorted(worded(collection, "granite")) == ["a#0", "late#0"]


class BecomesWhole:
    """An index whose building ends right after whatever is read of it first."""

    def __init__(self, index: LexicalIndex) -> None:
        self._index = index

    def __getattr__(self, name: str) -> object:
        read = getattr(self._index, name)
        self._index.settle()
        return read


@pytest.mark.usefixtures("small_blocks")
def test_a_search_never_takes_half_an_index_for_a_whole_one(open_collection: OpenCollection, put: Put) -> None:
    collection = open_collection()
    for n in range(30):
        put(collection, f"d{n}", ["granite"], ROW)
    collection.lexical._fall_behind(Written())
    view, params = collection._live.now, SearchParams(5, hybrid=Hybrid("granite", 0.0))
    lexical: Any = BecomesWhole(collection.lexical)
    finding = find(view, view.version, QUERY, params, lexical)
    assert collection.lexical.absence is None
    assert finding.without_lexical == "building"
    assert find(view, view.version, QUERY, params, lexical).without_lexical is None
