"""The benchmark of telemetry: its ratio, the server without telemetry, and a run to its end."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from service.cli.bench.telemetry.ratio import Ratio

ROOT = Path(__file__).parents[3]
SEED = 4
COUNTED = """
from service.cli.bench.telemetry.served import Telemetry
from service.telemetry.ended_requests import EndedRequest
from service.telemetry.metrics import Metrics
from service.telemetry.timings import Timings
import logging
import asyncio
telemetry, metrics, timings = Telemetry(), Metrics(), Timings()
timings.add("embed", 1.0)
logging.getLogger("quarry").setLevel("INFO")

async def counted():
    metrics.ended.add(EndedRequest("r", "none", "POST", "/v1/search", 200, timings))
    metrics.ended.fold()

for turn in (telemetry.turn_off, telemetry.turn_on, telemetry.turn_off):
    turn()
    asyncio.run(counted())
    value, logs = metrics.registry.get_sample_value, logging.getLogger("quarry.requests").isEnabledFor(logging.INFO)
    search = {"route": "/v1/search", "method": "POST", "status": "200"}
    print(value("quarry_requests_total", search), value("quarry_stage_seconds_count", {"stage": "embed"}), logs)
"""


def test_a_ratio_is_of_pairs_and_its_interval_holds_what_is_true() -> None:
    print(f"seed {SEED}")  # noqa: T201  names the data of a failure
    rng = np.random.default_rng(SEED)
    weather = np.exp(rng.normal(0, 0.5, 400))  # far larger than the difference, and the same for both of a pair
    on, off = 0.97 * weather * rng.normal(1, 0.02, 400), weather * rng.normal(1, 0.02, 400)
    ratio = Ratio.of(on.tolist(), off.tolist())
    assert ratio.low < 0.97 < ratio.high
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.high - ratio.low < 0.02
    assert ratio.pairs == 400
    assert Ratio.of([2, 4], [1, 2]) == Ratio(2, 2, 2, 2)
    with pytest.raises(ValueError, match="zip"):
        Ratio.of([1], [1, 2])


def test_telemetry_that_is_off_counts_and_logs_nothing() -> None:
    """In a process of its own, whose metrics are touched."""
    command = [sys.executable, "-c", COUNTED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["None None False", "1.0 1.0 True", "1.0 1.0 False"]


@pytest.mark.slow
def test_a_run() -> None:
    command = [sys.executable, "-m", "service", "bench", "telemetry", "--pairs", "2", "--searches", "8", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=550, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["ratio"]["pairs"] == 2
    assert report["cost"] == pytest.approx(1 - report["ratio"]["value"], abs=1e-4)
    assert report["met"] is (report["cost"] <= report["cost_limit"])
