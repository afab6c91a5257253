"""The file of budgets, and the line that says whether they were kept."""

from pathlib import Path

import pytest

pytest.importorskip("scipy", reason="the loadtest extra is not installed")

from loadtests.budgets import DEFAULT, Budgets, BudgetsError, Limits
from loadtests.figures import Figures
from loadtests.profile import Profile
from loadtests.route import Route
from loadtests.sample import Outcome
from loadtests.verdict import Check, Verdict

TEXT = DEFAULT.read_text()


def read(folder: Path, text: str) -> Budgets:
    path = folder / "budgets.toml"
    path.write_text(text)
    return Budgets.read(path)


@pytest.mark.parametrize(
    ("now", "then", "named"),
    [
        ("timeout_s", "patience_s", "patience_s"),
        ("[profiles.steady]\ngoodput_share", "[profiles.steady]\ngoodputshare", "profiles.steady.goodputshare"),
        ("[profiles.steady]\ngoodput_share = 0.99", "[profiles.steady]\ngoodput_share = 99", "profiles.steady"),
        ("[profiles.soak]", "[profiles.sooak]", "sooak"),
        ("search = { total_ms = 1000 }", "", "nothing is said of search"),
        ("search = { total_ms = 1000 }", "search = { total_ms = 1000, ttft_ms = 5 }", "search is not streamed"),
        ("search = { total_ms = 1000 }", "search = { total_ms = 0 }", "objectives.search.total_ms"),
        ("search = { total_ms = 1000 }", "search = { total_ms = nan }", "objectives.search.total_ms"),
        ("p99_ms = { search", "p99_ms = { find", "profiles.steady.p99_ms.find"),
        ("timeout_s = 30.0", "timeout_s = ", "line 4"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_names_it(tmp_path: Path, now: str, then: str, named: str) -> None:
    assert now in TEXT
    with pytest.raises(BudgetsError, match=r"budgets\.toml") as raised:
        read(tmp_path, TEXT.replace(now, then, 1))
    assert named in str(raised.value)


def test_the_page_names_every_limit() -> None:
    page = (DEFAULT.parents[1] / "docs" / "load-tests.md").read_text()
    assert [name for name in Limits.model_fields if f"`{name}`" not in page] == []


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BudgetsError, match="No such file"):
        Budgets.read(tmp_path / "none.toml")


def figures(**values: float | None) -> Figures:
    measured = dict.fromkeys(set(Limits.model_fields) - {"p99_ms", "ttft_p99_ms"})
    latency = {Route.SEARCH: {"total": {"p50": 10.0, "p99": 900.0}}}
    return Figures(measured | values, latency, dict.fromkeys(Outcome, 0), {})


def test_each_limit_is_checked_against_its_figure() -> None:
    limits = Budgets.read(DEFAULT).profiles[Profile.STEADY]
    checks = limits.checks(figures(goodput_share=0.995, missed_share=0.0, error_share=0.01, degraded_share=0.4))
    assert {check.name: check.met for check in checks} == {
        "goodput_share": True,
        "missed_share": True,
        "error_share": False,
        "degraded_share": False,
        "p99_ms.search": True,
    }, "and nothing of routes that were not asked"


def test_what_was_not_measured_is_not_kept() -> None:
    limits = Budgets.read(DEFAULT).profiles[Profile.SOAK]
    checks = {check.name: check for check in limits.checks(figures(goodput_share=1.0, threads_per_hour=4.0))}
    assert checks["threads_per_hour"].met
    assert not checks["memory_mib_per_hour"].met


def test_the_verdict_names_each_broken_budget_with_its_value_and_limit() -> None:
    checks = [
        Check("goodput_share", 0.8123, 0.99, is_most=False),
        Check("missed_share", 0.0, 0.005, is_most=True),
        Check("recovery_s", None, 10.0, is_most=True),
    ]
    verdict = Verdict("overload", checks)
    assert not verdict.passed
    assert str(verdict) == ("FAIL overload: goodput_share 0.8123 (at least 0.99); recovery_s not measured (at most 10)")
    kept = Verdict("steady", checks[1:2])
    assert kept.passed
    assert str(kept) == "PASS steady: 1 budgets kept"
