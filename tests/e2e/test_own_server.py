"""The server that a load test starts for itself takes what is offered to it."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from loadtests.budgets import DEFAULT, Budgets
from loadtests.corpus import Corpus
from loadtests.driver import Driver, Load
from loadtests.objective import Objective
from loadtests.own_server import own_server
from loadtests.plan import Material
from loadtests.route import Route
from loadtests.sample import Outcome
from loadtests.shape import Phase, Shape

# Nothing is late on a machine that others use too.
WIDE = {
    "objectives": {route: Objective(total_ms=200_000) for route in Route},
    "timeout_s": 250.0,
    "late_s": 200.0,
}
TEXTS = ["A pump is closed by its valve before it is opened.", "Bees sleep in winter, close to each other."]
MATERIAL = Material(questions=["How is a pump closed?", "When do bees sleep?"], texts=TEXTS)


# Looked for, not imported: locust patches the threads of the process that imports it.
@pytest.mark.skipif(find_spec("locust") is None, reason="the loadtest extra is not installed")
@pytest.mark.slow
def test_it_answers_or_sheds_whatever_the_shell_has_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARRY_ACCESS__ADMIN_KEY", "a-key-of-an-operator-with-40-characters!")
    budgets = Budgets.read(DEFAULT).model_copy(update=WIDE)
    logs = tmp_path / "out"
    logs.mkdir()
    with own_server(tmp_path, logs) as server:
        Corpus([("pump", TEXTS[0]), ("bees", TEXTS[1])], MATERIAL).put(server.url, server.headers, "loadtest")
        driver = Driver(server, Load("loadtest", "mix", MATERIAL, 64, logs), budgets)
        run = driver.run("steady", Shape((Phase.steady("load", 2.0, 10.0),)), seed=1)
        reading = driver.reading()
    outcomes = {each.outcome for each in run.samples}
    assert Outcome.OK in outcomes
    assert outcomes <= {Outcome.OK, Outcome.SHED}, [each for each in run.samples if each.outcome.is_failure]
    assert not any(each.is_degraded for each in run.samples if each.outcome is Outcome.OK)
    assert (reading.threads or 0) > 0
    assert {path.name for path in logs.glob("*.log")} == {"llm.log", "server.log", "steady.log"}
