"""Connections and collections share the files that the process may open."""

import resource

import pytest

from service.file_shares import FILES_PER_COLLECTION, collections_by_files, connections_by_files


@pytest.mark.parametrize("files", [64, 300, 1024, 4096, 1 << 20])
def test_both_fit(monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert 1 <= connections_by_files() <= 10_000
    assert 1 <= collections_by_files() <= 10_000
    assert connections_by_files() + FILES_PER_COLLECTION * collections_by_files() <= files


def test_without_a_limit_of_the_system_there_is_one_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert connections_by_files() == collections_by_files() == 10_000
