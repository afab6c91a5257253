"""What a driver leaves behind is held to what it was to do."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from loadtests.budgets import DEFAULT, Budgets
from loadtests.driver import Driver, DriverError, Load, Server, require_all
from loadtests.plan import Material, Plan
from loadtests.sample import Outcome, Sample
from loadtests.shape import Phase, Shape

MATERIAL = Material(questions=["What is closed?"], texts=["A valve."])
NOBODY = Server("http://127.0.0.1:9", None, None)


def test_an_arrival_without_a_sample_is_an_error(tmp_path: Path) -> None:
    plan = Plan(
        url="http://127.0.0.1",
        collection="docs",
        phases=[Phase.steady("load", 10, 5)],
        mix="mix",
        seed=1,
        nonce="one",
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


# Looked for, not imported: locust patches the threads of the process that imports it.
@pytest.mark.skipif(find_spec("locust") is None, reason="the loadtest extra is not installed")
@pytest.mark.slow
def test_a_plan_that_cannot_be_offered_ends_the_driver_at_once(tmp_path: Path) -> None:
    driver = Driver(NOBODY, Load("docs", "search", MATERIAL, 4, tmp_path), Budgets.read(DEFAULT))
    (tmp_path / "material.json").write_text("{}")
    with pytest.raises(DriverError, match="ended with code 3"):
        driver.run("load", Shape((Phase.steady("load", 1.0, 5.0),)), seed=1)
    assert (tmp_path / "load.log").read_text().count("the plan was not offered") == 1


def test_nothing_of_an_earlier_run_is_left_and_what_is_no_run_s_is(tmp_path: Path) -> None:
    left = ["step-07.samples.jsonl", "soak.log", "warm-up.plan.json", "report.json"]
    for name in [*left, "notes.log"]:
        (tmp_path / name).touch()
    Driver(NOBODY, Load("docs", "search", MATERIAL, 4, tmp_path), Budgets.read(DEFAULT))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["material.json", "notes.log"]
