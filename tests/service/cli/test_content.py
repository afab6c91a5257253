"""quarry content, and what serve and doctor say of a rule file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from service.cli.main import app
from service.doctor.check import Status
from service.doctor.content import look_at_content

RULES = """
[[rule]]
name = "card"
pii = "credit_card"
in = ["question", "answer"]
action = "mask"

[[rule]]
name = "codename"
pattern = "falcon"
in = ["question"]
action = "block"
"""
WRONG = RULES.replace('"mask"', '"hide"')


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


def content(*arguments: str | Path, piped: str = "") -> tuple[int, str]:
    done = CliRunner().invoke(app, ["content", *map(str, arguments)], input=piped)
    return done.exit_code, done.output


def test_what_matches_and_what_becomes_of_it(rules: Path) -> None:
    assert content("test", rules, "--text", "pay 4111111111111111") == (0, "mask   card\npay [card]\n")
    assert content("test", rules, piped="Is it a falcon?") == (0, "block  codename\nrefused\n")
    assert content("test", rules, "--answer", piped="a falcon") == (0, "no rule matches\na falcon\n")
    code, said = content("test", rules, "--json", "--text", "falcon 4111111111111111")
    assert code == 0
    assert json.loads(said) == {"matches": [{"rule": "codename", "action": "block"}], "blocked": True, "text": ""}


def test_what_the_rules_cost(rules: Path) -> None:
    code, said = content("cost", rules, "--json")
    assert code == 0
    assert json.loads(said)["cpu_us_each"] > 0
    assert "microseconds" in content("cost", rules)[1]


def test_a_file_that_is_wrong(rules: Path) -> None:
    rules.write_text(WRONG)
    for command in ("test", "cost"):
        code, said = content(command, rules, piped="x")
        assert code == 1
        assert "rule 1 ('card'): action:" in said


def test_doctor_reads_the_rules(rules: Path) -> None:
    (finding,) = look_at_content(rules)
    assert finding.status is Status.OK
    assert "2 rules" in finding.found
    assert "1 block, 1 mask" in finding.found
    assert "1 of them for answers" in finding.found
    rules.write_text(WRONG)
    (finding,) = look_at_content(rules)
    assert (finding.status, "rule 1 ('card')" in finding.found) == (Status.FAILURE, True)
    assert finding.advice


def test_serve_does_not_start_with_a_file_that_is_wrong(rules: Path, tmp_path: Path) -> None:
    rules.write_text(WRONG)
    config = tmp_path / "quarry.toml"
    config.write_text(f'data_dir = "{tmp_path / "data"}"\n[content]\nrules = "{rules}"\n')
    command = [sys.executable, "-m", "service", "serve", "--config", str(config), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert f"{rules}: rule 1 ('card'): action:" in done.stderr
    assert "Traceback" not in done.stderr
