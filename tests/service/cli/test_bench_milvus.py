"""quarry bench milvus, against a server."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from milvus_lite import MilvusLite
from service.cli.main import app

pytestmark = pytest.mark.cluster


def test_it_measures_pairs_and_leaves_nothing(
    milvus_lite: MilvusLite,
    milvus_server: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = milvus_server("FLAT").client
    before = client.list_collections()
    monkeypatch.setenv("QUARRY_INDEX__MILVUS__URL", milvus_lite.url)
    monkeypatch.setenv("QUARRY_INDEX__MILVUS__TYPE", "FLAT")
    arguments = ["bench", "milvus", "--rows", "100", "--dim", "8", "--samples", "40"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout.splitlines()[-1])
    assert (report["samples"], report["rows"], report["index"]) == (40, 100, "FLAT")
    assert 0 < report["own_p50_ms"] < report["collection_ms"]["p50"], "its own share of a search"
    assert report["met"] == (report["added_p50_ms"] <= 2)
    assert client.list_collections() == before
    monkeypatch.delenv("QUARRY_INDEX__MILVUS__URL")
    assert "index.milvus.url is not set" in CliRunner().invoke(app, arguments).output
