"""There are no more collections than may be, but for those that are there."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from indexes.catalog import Catalog
from indexes.errors import TooManyCollectionsError
from indexes.spec import CollectionSpec
from indexes.upkeep import IndexPolicy

SPEC = CollectionSpec("m", "f", 8, chunk_size=100, chunk_overlap=20)
POLICY = IndexPolicy(256)


def names(data_dir: Path, most: int | None, *wanted: str) -> list[str]:
    """Those that are there after these were wanted, all at once."""
    catalog = Catalog(data_dir, POLICY, most)
    try:
        with ThreadPoolExecutor(len(wanted)) as threads:
            made = [threads.submit(catalog.ensure, name, SPEC) for name in wanted]
        for each in made:
            error = each.exception()
            assert error is None or isinstance(error, TooManyCollectionsError), error
        return catalog.names()
    finally:
        catalog.close()


def test_the_last_one_is_made_once_however_many_ask(tmp_path: Path) -> None:
    assert len(names(tmp_path, 2, "a", "b", "c", "d")) == 2


def test_it_is_said_which_and_how_many(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, POLICY, 1)
    catalog.ensure("a", SPEC)
    with pytest.raises(TooManyCollectionsError, match=r"'b' is not created: .* the limit is 1"):
        catalog.ensure("b", SPEC)
    catalog.drop("a")
    catalog.ensure("b", SPEC)
    catalog.close()


def test_what_is_there_is_opened_and_found_whatever_the_limit(tmp_path: Path) -> None:
    assert names(tmp_path, None, "a", "b", "c") == ["a", "b", "c"]
    assert names(tmp_path, 1, "a", "c", "d") == ["a", "b", "c"]
