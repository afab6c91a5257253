"""Connections and collections share the files that the process may open."""

import resource
from pathlib import Path

import pytest

from service import file_shares
from service.file_shares import (
    FILES_PER_COLLECTION,
    MAPPINGS_PER_COLLECTION,
    collections_by_files,
    collections_by_mappings,
    connections_by_files,
    most_mappings,
)


@pytest.mark.parametrize("files", [64, 300, 1024, 4096, 1 << 20])
def test_both_fit(monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert 1 <= connections_by_files() <= 10_000
    assert 1 <= collections_by_files() <= 10_000
    assert connections_by_files() + FILES_PER_COLLECTION * collections_by_files() <= files


@pytest.mark.parametrize(("granted", "collections"), [(16, 1), (65_530, 2047), (1 << 24, 10_000), (None, 10_000)])
def test_so_do_the_files_that_collections_map(
    monkeypatch: pytest.MonkeyPatch, granted: int | None, collections: int
) -> None:
    monkeypatch.setattr(file_shares, "most_mappings", lambda: granted)
    assert collections_by_mappings() == collections
    assert granted is None or collections == 1 or MAPPINGS_PER_COLLECTION * collections <= granted


def test_what_the_system_says_of_mappings(tmp_path: Path) -> None:
    assert most_mappings(tmp_path / "none") is None
    for text, granted in (("65530\n", 65_530), ("many", None)):
        (tmp_path / "said").write_text(text)
        assert most_mappings(tmp_path / "said") == granted


def test_without_a_limit_of_the_system_there_is_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert connections_by_files() == collections_by_files() == 10_000
