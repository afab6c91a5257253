"""What is wrong with the rules that questions and answers are screened by."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from service.content.rule import Place
from service.content.rule_file import RuleFileError, read_rules
from service.doctor.check import Finding, failure, ok


def look_at_content(path: Path) -> Iterator[Finding]:
    """Read the rule file as a start would."""
    try:
        rules = read_rules(path)
    except RuleFileError as error:
        yield failure("content.rules", str(error), "docs/content.md has the fields and the syntax of patterns")
        return
    actions = Counter(str(rule.action) for rule in rules)
    said = ", ".join(f"{count} {action}" for action, count in sorted(actions.items()))
    answers = sum(Place.ANSWER in rule.places for rule in rules)
    yield ok("content.rules", f"{len(rules)} rules of {path} ({said}), {answers} of them for answers")
