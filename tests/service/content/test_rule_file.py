"""Rule files: what is wrong with one is said with the line or the rule."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.content.rule_file import RuleFileError, read_rules

ScreenOf = Callable[[str], Any]

GOOD = 'name = "a"\npattern = "x"\nin = ["question"]\naction = "mask"\n'
WRONG = [
    ("", "one [[rule]] table at least"),
    ("rule = 3", "one [[rule]] table at least"),
    ("[[rules]]\n", "'rules' is not known"),
    ("[[rule]]\nname = \n", "line 2"),
    ("[[rule]]\n" + GOOD + "colour = 1", "rule 1 ('a'): colour: Extra inputs are not permitted"),
    ("[[rule]]\n" + GOOD.replace('"mask"', '"hide"'), "rule 1 ('a'): action:"),
    ("[[rule]]\n" + GOOD.replace('"a"', '"A b"'), "rule 1 ('A b'): name:"),
    ("[[rule]]\n" + GOOD.replace('["question"]', "[]"), "in: List should have at least 1 item"),
    ("[[rule]]\n" + GOOD.replace('["question"]', '["chunks"]'), "in.0:"),
    ("[[rule]]\n" + GOOD + 'pii = "email"', "given: pattern, pii"),
    ("[[rule]]\n" + GOOD.replace('pattern = "x"', ""), "given: none"),
    ("[[rule]]\n" + GOOD.replace('pattern = "x"', 'pii = "shoe_size"'), "pii:"),
    ("[[rule]]\n" + GOOD.replace('pattern = "x"', 'pii = "email"\ncase = "exact"'), "case is of a pattern"),
    ("[[rule]]\n" + GOOD.replace("mask", "flag") + 'replacement = "y"', "replacement is of action 'mask'"),
    ("[[rule]]\n" + GOOD.replace('pattern = "x"', 'links_outside = ["https://a.example/"]'), "links_outside.0:"),
    (f"[[rule]]\n{GOOD}[[rule]]\n{GOOD}", "two rules have the name 'a'"),
]  # fmt: skip
PATTERNS = [
    ("a)", "at offset 1: ')' closes nothing"),
    ("(a", "at offset 0: '(' is not closed"),
    ("[a", "a class that is not closed"),
    ("*a", "'*' repeats nothing"),
    ("a{3}{2}", "a quantity of a quantity"),
    ("a{4,2}", "wrong way round"),
    ("a{", "written \\{"),
    ("(?=a)", "of groups there are"),
    (r"(a)\1", "\\1 is not known"),
    (r"\Qa\E", "\\Q is not known"),
    (r"\x{110000}", "a code that is not"),
    (r"\p{Klingon}", "invalid character class"),
    ("a{1001}", "repetition"),
    ("a?", "matches the empty text"),
    (r"\b", "matches the empty text"),
    ("\u2013", "never matches"),
    (r"\x{FF11}", "never matches: texts are matched with '1'"),
    ("[[:shoe:]]", "invalid character class"),
]
UNBOUNDED = [("a+", "of any length"), ("(?:ab*c|d)", "of any length"), ("a{2,}", "of any length"), ("a{1000}b", "1001")]


@pytest.fixture
def said(tmp_path: Path) -> Callable[[str], str]:
    """(the text of a rule file) -> what is said of it."""

    def refused(text: str) -> str:
        path = tmp_path / "rules.toml"
        path.write_text(text)
        with pytest.raises(RuleFileError) as error:
            read_rules(path)
        assert str(error.value).startswith(f"{path}: ")
        return str(error.value)

    return refused


@pytest.mark.parametrize(("text", "found"), WRONG)
def test_a_file_that_is_wrong(said: Callable[[str], str], text: str, found: str) -> None:
    assert found in said(text)


@pytest.mark.parametrize(("pattern", "found"), PATTERNS)
def test_a_pattern_that_cannot_be_used(said: Callable[[str], str], pattern: str, found: str) -> None:
    message = said("[[rule]]\n" + GOOD.replace('"x"', f"'{pattern}'"))
    assert "rule 1 ('a'): pattern: " in message
    assert found in message


@pytest.mark.parametrize(("pattern", "found"), UNBOUNDED)
def test_what_an_answer_would_be_held_back_for_has_an_end(
    said: Callable[[str], str], screen_of: ScreenOf, pattern: str, found: str
) -> None:
    rule = "[[rule]]\n" + GOOD.replace('"x"', f"'{pattern}'")
    assert found in said(rule.replace("question", "answer"))
    assert screen_of(rule).question(["nothing"], "query", "r1") == ["nothing"]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RuleFileError, match="No such file"):
        read_rules(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(RuleFileError, match="can't decode byte 0xff"):
        read_rules(tmp_path / "bytes.toml")


def test_too_many_rules(said: Callable[[str], str]) -> None:
    rules = "\n".join("[[rule]]\n" + GOOD.replace('"a"', f'"a{i}"') for i in range(201))
    assert "at most 200" in said(rules)


def test_case(screen_of: ScreenOf) -> None:
    rule = "[[rule]]\n" + GOOD
    assert screen_of(rule).question(["xX"], "query", "r1") == ["[a][a]"]
    assert screen_of(rule + 'case = "ignore"').question(["xX"], "query", "r1") == ["[a][a]"]
    assert screen_of(rule + 'case = "exact"').question(["xX"], "query", "r1") == ["[a]X"]
