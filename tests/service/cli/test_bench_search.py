"""The benchmark of search in small: every figure is there, and what holds on any machine does."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli.bench.search import tables
from service.cli.main import app

# Trains several indexes and starts processes of its own.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

KEYS = {
    "bench", "vectors", "synthetic", "rows", "dimension", "documents", "queries", "samples", "index", "nprobe",
    "refine", "put_s", "put_rows_per_s", "build_s", "index_bytes_per_vector", "memory_bytes", "recall_at_10",
    "exact_recall_at_10", "short", "latency_ms", "searches_per_s", "overhead_p50_ms", "search_overhead_p50_ms",
    "hybrid_overhead_p50_ms", "hybrid_p50_ratio",
    "filtered", "beside_ingest", "beside_rebuild", "cold_start", "targets", "processor", "cores", "versions",
}  # fmt: skip


def quarry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    done = quarry("bench", "search", "--rows", "2000", "--dim", "32", "--synthetic", "--samples", "40", "--json")
    assert done.exit_code == 0, done.output
    (line,) = done.stdout.splitlines()
    reported: dict[str, Any] = json.loads(line)
    return reported


def test_every_figure_is_there(report: dict[str, Any]) -> None:
    assert report.keys() == KEYS
    assert (report["bench"], report["rows"], report["dimension"], report["documents"]) == ("search", 2000, 32, 250)
    assert [each["name"] for each in report["targets"]] == [
        "recall_at_10",
        "index_bytes_per_vector",
        "overhead_p50_ms",
        "filtered_0.5_p50_ratio",
        "filtered_0.05_p50_ratio",
        "filtered_0.001_p50_ratio",
        "failed_beside_ingest",
        "failed_beside_rebuild",
        "p99_ratio_beside_rebuild",
        "start_from_snapshot_s",
    ]


def test_made_up_vectors_are_called_so(report: dict[str, Any]) -> None:
    assert report["synthetic"] is True
    assert "synthetic" in report["vectors"]


def test_an_exact_scan_finds_all_and_an_index_most(report: dict[str, Any]) -> None:
    assert report["exact_recall_at_10"] == 1.0
    assert 0.9 <= report["recall_at_10"] <= 1.0
    assert report["short"] == 0
    assert report["nprobe"] >= 1
    assert report["refine"] >= 1


def test_each_way_of_searching_is_timed_at_each_concurrency(report: dict[str, Any]) -> None:
    assert list(report["latency_ms"]) == ["1", "8", "32"]
    for ways in report["latency_ms"].values():
        assert set(ways) == {"vector", "search", "hybrid", "raw"}
        assert all(0 < ms["p50"] <= ms["p99"] for ms in ways.values())
    assert all(rate > 0 for ways in report["searches_per_s"].values() for rate in ways.values())
    one = report["latency_ms"]["1"]
    assert report["overhead_p50_ms"] == pytest.approx(one["vector"]["p50"] - one["raw"]["p50"], abs=0.002)
    assert report["search_overhead_p50_ms"] == pytest.approx(one["search"]["p50"] - one["raw"]["p50"], abs=0.002)
    difference = one["hybrid"]["p50"] - one["search"]["p50"]
    assert report["hybrid_overhead_p50_ms"] == pytest.approx(difference, abs=0.002)
    assert report["hybrid_p50_ratio"] == pytest.approx(one["hybrid"]["p50"] / one["search"]["p50"], rel=0.01)


def test_filters_keep_their_share_and_lose_nothing(report: dict[str, Any]) -> None:
    assert [each["selectivity"] for each in report["filtered"]] == [0.5, 0.05, 0.001]
    for each in report["filtered"]:
        assert each["short"] == 0
        assert each["recall_at_10"] >= 0.9
        assert each["p50_ratio"] > 0
    assert report["filtered"][-1]["recall_at_10"] == 1.0  # so few rows are searched exactly


def test_no_search_fails_beside_an_ingest_or_a_rebuild(report: dict[str, Any]) -> None:
    for beside in (report["beside_ingest"], report["beside_rebuild"]):
        assert beside["failed"] == 0
        assert beside["searches"] > 0
        assert beside["seconds"] > 0
    assert report["beside_ingest"]["documents_per_s"] > 0


def test_a_start_is_timed_with_a_snapshot_and_without(report: dict[str, Any]) -> None:
    start = report["cold_start"]
    assert start["rows"] == 2000
    assert start["small"]["rows"] == 500
    for size in (start, start["small"]):
        assert size["snapshot_s"] > 0
        assert size["no_snapshot_s"] > 0
    assert report["memory_bytes"] == start["memory_bytes"] >= 2000 * 32 * 4
    slope = (start["no_snapshot_s"] - start["small"]["no_snapshot_s"]) / 1500e-6
    assert start["no_snapshot_s_per_million_rows"] == pytest.approx(slope, abs=1)


def test_people_get_tables(report: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    tables.show(report)
    shown = capsys.readouterr().out
    assert "32 at a time" in shown
    assert "filter that keeps 0.1%" in shown
    assert "beside rebuild" in shown
    assert "recall_at_10" in shown


def test_text_has_one_dimension() -> None:
    done = quarry("bench", "search", "--rows", "2000", "--dim", "128")
    assert done.exit_code == 1
    assert "--dim 128 needs --synthetic" in done.stderr


def test_the_hunt_for_leaks_reports_and_passes() -> None:
    arguments = ["--rows", "2000", "--dim", "32", "--synthetic", "--leaks", "300", "--json"]
    done = quarry("bench", "search", *arguments)
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["bench"], report["filters"], report["updates"], report["met"]) == ("search-leaks", 300, 15, True)
    assert 100 < report["hybrid"] < 200
    assert (report["leaked"], report["short"], report["examples"]) == (0, 0, [])
    assert report["hits"] > 1000
