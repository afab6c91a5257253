"""docs/runbook.md: every alert has a section, and every section says what to look at and what to do."""

import re
from typing import Any

import pytest
import yaml

from markdown_page import ROOT, Page

RUNBOOK = Page(ROOT / "docs" / "runbook.md")
SECTIONS = re.findall(r"^## (.+)$", RUNBOOK.path.read_text(), re.MULTILINE)
# Of what is done, and not of what is looked at.
PROCEDURES = {"Restore after a loss", "Back to the version before"}


def alerts() -> dict[str, dict[str, Any]]:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yaml").read_text())
    found = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    return {rule["alert"]: rule for rule in found}


def section(heading: str) -> str:
    return RUNBOOK.section(heading.lower().replace(" ", "-"))


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alert_leads_to_its_section(name: str) -> None:
    page, _, anchor = alerts()[name]["annotations"]["runbook_url"].partition("#")
    assert page == "docs/runbook.md"
    (head,) = re.findall(r"^Alerts?: .*?(?=\n\n)", RUNBOOK.section(anchor), re.MULTILINE | re.DOTALL)
    assert f"`{name}`" in head


def test_no_section_names_an_alert_that_is_not_there() -> None:
    assert set(re.findall(r"`(Quarry[A-Z]\w+)`", RUNBOOK.path.read_text())) == set(alerts())


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_section_has_a_metric_and_an_action(heading: str) -> None:
    text = section(heading)
    assert heading in PROCEDURES or "```promql\n" in text
    assert re.search(r"^(?:\d\. |\| )", text, re.MULTILINE)


def test_the_table_of_symptoms_leads_to_every_section() -> None:
    linked = {link.removeprefix("#") for link in RUNBOOK.links if link.startswith("#")}
    assert {heading.lower().replace(" ", "-") for heading in SECTIONS} <= linked
