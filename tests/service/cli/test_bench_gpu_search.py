"""The benchmark of GPU search in small, on the CPU: its code runs, and what holds on any device does."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.main import app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_every_way_is_timed_with_every_batch(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    arguments = ["--rows", "3000", "--dim", "32", "--device", "cpu", "--repetitions", "3", "--json", "--out", str(page)]
    done = CliRunner().invoke(app, ["bench", "gpu-search", *arguments])
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["synthetic"] is True
    assert report["device"].startswith("no GPU")
    timed = {(each["way"], each["batch"]): each for each in report["results"]}
    assert set(timed) == {(way, batch) for way in ("exact scan", "IVF-PQ, CPU") for batch in (1, 8, 32, 128)}
    for (way, batch), each in timed.items():
        assert each["recall"] >= (0.995 if way == "exact scan" else 0.97)
        assert each["ms"] > 0
        assert each["of_bandwidth"] > 0
        assert each["queries_per_s"] == pytest.approx(batch / each["ms"] * 1000, rel=0.01)
    written = page.read_text()
    assert written.count("| 3,000 | exact scan |") == 4
    assert "Synthetic" in written


def test_a_gpu_that_is_not_there_is_refused() -> None:
    done = CliRunner().invoke(app, ["bench", "gpu-search", "--device", "cuda:99"])
    assert done.exit_code == 1
    assert "cuda:99" in done.output
