"""What a driver leaves behind is held to what it was to do."""

from dataclasses import replace
from pathlib import Path

import pytest

from loadtests.driver import DriverError, require_all
from loadtests.plan import Plan
from loadtests.sample import Outcome, Sample
from loadtests.shape import Phase


def test_an_arrival_without_a_sample_is_an_error(tmp_path: Path) -> None:
    plan = Plan(
        url="http://127.0.0.1",
        collection="docs",
        phases=[Phase.steady("load", 10, 5)],
        mix="mix",
        seed=1,
        places=1,
        late_s=1,
        timeout_s=1,
        deadline_ms={},
        material=tmp_path / "material",
        samples=tmp_path / "samples",
        summary=tmp_path / "summary",
    )
    plan.write(tmp_path / "plan")
    assert Plan.read(tmp_path / "plan") == plan
    samples = [
        Sample(each.number, each.route, each.at_s, Outcome.OK) for each in Plan.read(tmp_path / "plan").arrivals()
    ]
    require_all(samples, plan)
    for wrong in (samples[1:], samples[:-1], [*samples, samples[0]], [*samples[1:], replace(samples[0], number=999)]):
        with pytest.raises(DriverError, match="samples of"):
            require_all(wrong, plan)
