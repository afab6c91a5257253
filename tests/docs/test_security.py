"""The page on security: a row for each of OWASP's ten, and every test that it names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text()
TESTS = sorted(set(re.findall(r"`(tests/[^`\s]+)`", TEXT)))
ROWS = re.findall(r"^## (LLM\d\d): .*?(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)


def test_there_is_a_row_for_each_of_the_ten() -> None:
    assert [f"LLM{number:02}" for number in range(1, 11)] == ROWS


@pytest.mark.parametrize("row", re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:], ids=lambda row: row[:5])
def test_each_says_what_is_done_what_shows_it_and_what_is_left(row: str) -> None:
    assert re.search(r"^- ", row, re.MULTILINE)
    assert re.search(r"^Tests: `tests/", row, re.MULTILINE)
    assert re.search(r"^Left to you: ", row, re.MULTILINE)


@pytest.mark.parametrize("named", TESTS)
def test_every_test_that_it_names_is_there(named: str) -> None:
    path, _, function = named.partition("::")
    source = (ROOT / path).read_text()
    assert re.search(rf"^def {function or 'test_'}", source, re.MULTILINE)
    assert not function or f"def {function}(" in source
