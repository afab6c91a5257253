"""Preferences of collections: durable, with the name, and gone with the collection."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from indexes.catalog import Catalog
from indexes.data_directory import CATALOG
from indexes.errors import CollectionNotFoundError
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy

SPEC = CollectionSpec("hashing", "f" * 64, 8, 100, 20)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[], Catalog]:
    return lambda: Catalog(tmp_path / "data", IndexPolicy())


def tables(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / "data" / CATALOG)) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def kept(folder: Path) -> set[str]:
    with closing(sqlite3.connect(folder / "data" / CATALOG)) as connection:
        return {name for (name,) in connection.execute("SELECT collection FROM preferences")}


def test_a_preference_lasts(opened: Callable[[], Catalog]) -> None:
    with closing(opened()) as catalog:
        catalog.ensure("docs", SPEC)
        assert catalog.preference("docs", "llm") is None
        catalog.prefer("docs", "llm", "main")
        catalog.prefer("docs", "llm", "other")
        assert catalog.preference("docs", "llm") == "other"
    with closing(opened()) as catalog:
        assert catalog.preference("docs", "llm") == "other"
        catalog.prefer("docs", "llm", None)
        assert catalog.preference("docs", "llm") is None
    with closing(opened()) as catalog:
        assert catalog.preference("docs", "llm") is None


def test_an_alias_leads_to_it(opened: Callable[[], Catalog]) -> None:
    with closing(opened()) as catalog:
        catalog.ensure("docs", SPEC)
        catalog.set_alias("latest", "docs")
        catalog.prefer("latest", "llm", "main")
        assert catalog.preference("docs", "llm") == catalog.preference("latest", "llm") == "main"


def test_it_goes_with_the_collection(opened: Callable[[], Catalog], tmp_path: Path) -> None:
    with closing(opened()) as catalog:
        for name in ("docs", "others"):
            catalog.ensure(name, SPEC)
            catalog.prefer(name, "llm", "main")
        catalog.drop("docs")
        assert kept(tmp_path) == {"others"}
        catalog.ensure("docs", SPEC)
        assert catalog.preference("docs", "llm") is None
    with closing(opened()) as catalog:
        assert (catalog.preference("docs", "llm"), catalog.preference("others", "llm")) == (None, "main")


def test_it_stays_with_the_name_through_a_reembedding(opened: Callable[[], Catalog]) -> None:
    with closing(opened()) as catalog:
        catalog.ensure("docs", SPEC)
        catalog.prefer("docs", "llm", "main")
        catalog.link("docs", CollectionSpec("other", "e" * 64, 8, 100, 20))
        catalog.move("docs", "switched")
        catalog.unlink("docs")
    with closing(opened()) as catalog:
        assert catalog.preference("docs", "llm") == "main"


def test_there_is_none_of_a_collection_that_is_not(opened: Callable[[], Catalog]) -> None:
    with closing(opened()) as catalog, pytest.raises(CollectionNotFoundError):
        catalog.prefer("docs", "llm", "main")


def test_a_catalogue_without_any_is_as_older_programs_made_it(opened: Callable[[], Catalog], tmp_path: Path) -> None:
    with closing(opened()) as catalog:
        catalog.ensure("docs", SPEC)
    before = tables(tmp_path)
    with closing(opened()) as catalog:
        catalog.prefer("docs", "llm", "main")
    assert tables(tmp_path) - before == {"preferences"}


def test_what_an_older_program_left_behind_is_not_taken_over(opened: Callable[[], Catalog], tmp_path: Path) -> None:
    with closing(opened()) as catalog:
        catalog.ensure("docs", SPEC)
        catalog.prefer("docs", "llm", "main")
    with closing(sqlite3.connect(tmp_path / "data" / CATALOG)) as connection:
        connection.execute("INSERT INTO preferences VALUES ('gone', 'llm', 'main')")
        connection.commit()
    with closing(opened()) as catalog:
        catalog.ensure("gone", SPEC)
        assert catalog.preference("gone", "llm") is None
    with closing(opened()) as catalog:
        assert catalog.preference("gone", "llm") is None
