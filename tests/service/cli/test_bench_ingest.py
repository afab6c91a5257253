"""The benchmark of ingest in small, before a server in this process."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from service.cli.bench.ingest import corpus, run
from service.cli.bench.ingest.reading import Reading
from service.cli.bench.server import RunningServer
from service.cli.main import app

KEYS = {"bench", "ways", "targets", "met", "processor", "cores", "versions", "model", "dtype"}


def quarry(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def server(listening: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of the server that the benchmark takes for one of its own."""
    url = listening()

    @contextmanager
    def running(*_: object) -> Iterator[RunningServer]:
        yield RunningServer(url, 0)

    monkeypatch.setattr(run, "running_server", running)
    return url


def test_every_document_is_ingested_in_three_ways(server: str) -> None:
    done = quarry("bench", "ingest", "--documents", 40, "--json")
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    assert report.keys() == KEYS
    assert list(report["ways"]) == ["files", "json", "ndjson"]
    for figures in report["ways"].values():
        assert figures["documents"] == 40
        assert 0 < figures["busy_share"] <= 1
        assert 0 <= figures["padding_share"] < 1
        assert 0 <= figures["full_share"] <= 1
        assert figures["documents_per_s"] == pytest.approx(40 / figures["seconds"], rel=0.01, abs=0.01)
    assert [target["name"] for target in report["targets"]] == [
        "files_busy_share",
        "json_busy_share",
        "ndjson_busy_share",
    ]
    assert all(target["met"] is (target["value"] >= 0.85) for target in report["targets"])
    collections = httpx.get(f"{server}/v1/collections", trust_env=False).json()["data"]
    assert {each["name"]: each["documents"] for each in collections} == {
        "files": 40,
        "json": 40,
        "ndjson": 40,
        "warm-up": 16,
    }


@pytest.mark.usefixtures("server")
def test_people_get_a_table_of_their_own_documents(tmp_path: Path) -> None:
    (tmp_path / "bees.md").write_text("# Bees\n\nBees of the meadow sleep in winter.")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "roses.txt").write_text("Roses are pruned in early March.")
    (tmp_path / "page.html").write_text("<p>Not Markdown, not plain text.")
    done = quarry("bench", "ingest", "--corpus", tmp_path)
    assert done.exit_code == 0, done.output
    assert "2 documents" in done.stdout
    assert "embedder busy" in done.stdout
    assert "ndjson_busy_share" in done.stdout


def test_a_folder_without_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "blank.md").write_text("\n")
    done = quarry("bench", "ingest", "--corpus", tmp_path)
    assert done.exit_code == 1
    assert "has no text" in done.stderr


@pytest.mark.usefixtures("server")
def test_a_refused_document_ends_the_measurement(tmp_path: Path) -> None:
    """Here the server's limit on the characters of a document refuses it."""
    (tmp_path / "long.txt").write_text("a" * 20_000_000)
    done = quarry("bench", "ingest", "--corpus", tmp_path)
    assert done.exit_code == 1
    assert "long.txt" in done.stderr


def test_variations_are_distinct_and_the_same_every_time() -> None:
    pages = corpus.of_the_project(100)
    assert pages == corpus.of_the_project(100)
    assert len({page.name for page in pages}) == len({page.text for page in pages}) == 100
    assert Counter(Path(page.name).suffix for page in pages) == {".md": 50, ".txt": 50}


def test_figures_are_what_changed_between_two_readings() -> None:
    before = Reading(10.0, 100.0, 110.0, 5.0, {"full": 2.0})
    after = Reading(19.0, 1000.0, 1110.0, 25.0, {"full": 5.0, "drained": 1.0})
    figures = run.Figures.between(before, after, 10.0)
    assert figures == run.Figures(20, 10.0, 0.9, 2.0, 90.0, 0.1, 0.75)


def test_a_reading_adds_up_models_and_leaves_out_queries() -> None:
    text = "\n".join(
        [
            "# TYPE quarry_device_busy_seconds counter",
            "quarry_device_busy_seconds_total 1.5",
            "# TYPE quarry_tokens counter",
            'quarry_tokens_total{model="a"} 3',
            'quarry_tokens_total{model="b"} 4',
            "# TYPE quarry_computed_tokens counter",
            'quarry_computed_tokens_total{model="a"} 9',
            "# TYPE quarry_documents counter",
            'quarry_documents_total{outcome="created"} 2',
            'quarry_documents_total{outcome="unchanged"} 1',
            "# TYPE quarry_batches counter",
            'quarry_batches_total{lane="bulk",model="a",reason="full"} 6',
            'quarry_batches_total{lane="query",model="a",reason="drained"} 8',
            "",
        ]
    )
    with httpx.Client(
        transport=httpx.MockTransport(lambda _: httpx.Response(200, text=text)), base_url="http://quarry"
    ) as http:
        assert Reading.of(http) == Reading(1.5, 7.0, 9.0, 3.0, {"full": 6.0})
