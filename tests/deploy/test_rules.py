"""The alerts, by Prometheus' own tool."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.api.problems import KINDS, kind_of_type
from service.errors import DeadlineExceededError, LlmTimeoutError, OverloadedError, QueriesOnlyError

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = PROMETHEUS / "rules.yaml"
BURN_RATES = {
    f"Quarry{kind}{speed}" for kind in ("Errors", "Budget") for speed in ("BurnsFast", "Burns", "BurnsSlowly")
}


def promtool(*arguments: str | Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is missing: Debian's package prometheus has it")
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_they_are_rules(rules: list[dict[str, Any]]) -> None:
    assert f"SUCCESS: {len(rules)} rules found" in promtool("check", "rules", RULES)


def test_they_fire_when_they_should_and_not_else() -> None:
    assert "SUCCESS" in promtool("test", "rules", PROMETHEUS / "rules_test.yaml")


def test_each_alert_is_seen_to_fire_and_to_be_silent(rules: list[dict[str, Any]]) -> None:
    checks = [
        {str(sample["labels"]).split('"')[1] for sample in check["exp_samples"]}
        for test in yaml.safe_load((PROMETHEUS / "rules_test.yaml").read_text())["tests"]
        for check in test["promql_expr_test"]
    ]
    alerts = {rule["alert"] for rule in rules if "alert" in rule}
    assert alerts >= BURN_RATES
    assert set().union(*checks) == alerts
    for alert in BURN_RATES:  # beside another of the same kind, and where all is well
        kind = alert.removesuffix("Fast").removesuffix("Slowly")
        assert any(alert not in fired and any(name.startswith(kind) for name in fired) for fired in checks) or (
            alert.endswith("Slowly")
        )
    assert set() in checks


def test_every_alert_says_how_bad_it_is_and_what_to_do(rules: list[dict[str, Any]]) -> None:
    for rule in rules:
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}
            assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}


def test_a_failure_is_a_problem_of_a_5xx_but_for_refusals_and_lateness(rules: list[dict[str, Any]]) -> None:
    others = {
        kind_of_type(type_).code
        for type_ in (OverloadedError, QueriesOnlyError, DeadlineExceededError, LlmTimeoutError)
    }
    failures = {kind.code for kind in KINDS if kind.status >= 500} - others
    expressions = [rule["expr"] for rule in rules if rule.get("record", "").startswith("quarry:requests_failed")]
    assert len(expressions) == 8
    for expression in expressions:
        (codes,) = re.findall(r'quarry_problems_total\{code=~"([^"]+)"\}', expression)
        assert set(codes.split("|")) == failures
