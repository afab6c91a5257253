"""Screens by rules: every action, and the same result however a text comes."""

import logging
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.content.syntax import parse
from service.errors import ContentBlockedError

ScreenOf = Callable[[str], Any]
OneRule = Callable[..., str]

# Of few characters, so that random texts match in part, whole and again; overlapping each other.
PATTERNS = ["a(?:bc){1,3}", "b{2,9}", "c|ca|cab", r"\bcab\b", "a[bc]?a", "(?:ab|ba){2,6}c", "^ab", "c$", "x{6,30}"]
TEXTS = st.text(st.sampled_from("abcx \u200b\uff41"), max_size=60)
CARD = "4111 1111 1111 1111"


def file_of(*rules: tuple[str, str]) -> str:
    both = "in = ['question', 'answer']\ncase = 'exact'"
    return "\n".join(
        f"[[rule]]\nname = 'r{i}'\naction = '{action}'\n{both}\npattern = '{pattern}'"
        for i, (action, pattern) in enumerate(rules)
    )


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({0, len(text), *(place % (len(text) + 1) for place in places)})
    return [text[start:end] for start, end in pairwise(edges)]


RULES = st.lists(
    st.tuples(st.sampled_from(["mask", "mask", "flag", "block"]), st.sampled_from(PATTERNS)), min_size=1, max_size=4
)


@settings(max_examples=300, deadline=None)
@given(rules=RULES, text=TEXTS, places=st.lists(st.integers(0, 60), max_size=30))
@example(rules=[("mask", "a(?:bc){1,3}")], text="abcbc", places=[1, 2, 3, 4])
@example(rules=[("mask", r"\bcab\b")], text="cabx", places=[3])
def test_however_an_answer_is_split_the_same_is_shown(
    screen_of: ScreenOf, rules: list[tuple[str, str]], text: str, places: list[int]
) -> None:
    whole, split = screen_of(file_of(*rules)), screen_of(file_of(*rules))
    assert split.written(*cut(text, places)) == whole.written(text)
    if all(action != "block" for action, _ in rules):
        assert split.counted == whole.counted


@settings(max_examples=200, deadline=None)
@given(pattern=st.sampled_from(PATTERNS), text=st.text(st.sampled_from("abcx "), max_size=60), cuts=st.data())
def test_one_masked_pattern_is_what_a_substitution_makes(
    screen_of: ScreenOf,
    pattern: str,
    text: str,
    cuts: Any,  # noqa: ANN401
) -> None:
    """Python's own expressions are the oracle."""
    places = cuts.draw(st.lists(st.integers(0, 60), max_size=30))
    shown, _ = screen_of(file_of(("mask", pattern))).written(*cut(text, places))
    assert shown == re.sub(pattern.replace("$", r"\Z"), "[r0]", text)


PERSONAL = ["jane.doe@acme.example", CARD, "DE89 3704 0044 0532 0130 00", "+49 30 1234567", "10.1.2.3", "078-05-1120"]
KINDS = ["email", "credit_card", "iban", "phone", "ip_address", "us_ssn"]


@settings(max_examples=100, deadline=None)
@given(
    parts=st.lists(st.sampled_from([*PERSONAL, " ", "a", "4", ".", " is ", "![x](https://evil.example/", ")"])),
    places=st.lists(st.integers(0, 200), max_size=60),
)
def test_what_is_built_in_does_not_care_how_a_text_is_split(
    screen_of: ScreenOf, parts: list[str], places: list[int]
) -> None:
    rules = [f"[[rule]]\nname='{kind}'\npii='{kind}'\nin=['answer']\naction='mask'" for kind in KINDS]
    rules.append("[[rule]]\nname='links'\nlinks_outside=['a.example']\nin=['answer']\naction='mask'")
    screen, text = screen_of("\n".join(rules)), "".join(parts)
    assert screen.written(*cut(text, places)) == screen.written(text)


def test_what_cannot_become_a_match_is_not_held_back(screen_of: ScreenOf, one_rule: OneRule) -> None:
    screen = screen_of(one_rule("mask", "pattern = 'secret [0-9]{4}'")).answer("r1")
    for piece in ("The bees ", "sleep ", "in winter, so they do."):
        assert screen.feed(piece) == piece
    assert screen.feed(" It is a se") == " It is a "
    assert screen.feed("cond") == "second"


def test_no_more_is_held_back_than_the_longest_match(screen_of: ScreenOf, one_rule: OneRule) -> None:
    screen = screen_of(one_rule("mask", "pattern = 'a{1,100}b'")).answer("r1")
    shown = "".join(screen.feed("a") for _ in range(1000))
    assert 1000 - 101 <= len(shown) < 1000


def test_a_flag_holds_nothing_back(screen_of: ScreenOf, one_rule: OneRule) -> None:
    screen = screen_of(one_rule("flag", "pattern = 'secret [0-9]{4}'"))
    answer = screen.answer("r1")
    assert [answer.feed(piece) for piece in ("a sec", "ret 12", "34.")] == ["a sec", "ret 12", "34."]
    assert screen.counted == {("rule", "flag", "answer"): 1}


def test_a_block_ends_the_answer_before_the_match(screen_of: ScreenOf, one_rule: OneRule) -> None:
    screen = screen_of(one_rule("block", "pattern = 'project falcon'"))
    assert screen.written("They call it Pro", "ject", " Falcon, and") == ("They call it ", True)
    assert screen.counted == {("rule", "block", "answer"): 1}


def test_a_question(screen_of: ScreenOf, one_rule: OneRule) -> None:
    masking = screen_of(one_rule("mask", 'pii = "credit_card"', replacement='"<card>"'))
    assert masking.question([f"first {CARD}", CARD], "messages", "r1") == ["first <card>", "<card>"]
    assert masking.counted == {("rule", "mask", "question"): 2}
    with pytest.raises(ContentBlockedError) as refused:
        screen_of(one_rule("block", 'pii = "credit_card"')).question(["fine", CARD], "messages", "r1")
    assert refused.value.param == "messages"
    assert str(refused.value) == "messages is refused by the content rule 'rule' of this server"


def test_rules_of_the_other_place_do_not_count(screen_of: ScreenOf) -> None:
    text = "[[rule]]\nname='a'\npattern='bees'\nin=['{}']\naction='block'"
    assert screen_of(text.format("question")).answer("r1") is None
    assert screen_of(text.format("answer")).question(["bees"], "query", "r1") == ["bees"]


def test_the_log_has_the_rule_and_never_the_text(
    screen_of: ScreenOf, one_rule: OneRule, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "quarry"):
        screen_of(one_rule("mask", 'pii = "credit_card"')).written(f"{CARD} and {CARD}")
    (record,) = caplog.records
    said = {"rule": "rule", "action": "mask", "where": "answer", "request_id": "r1"}
    assert said.items() <= vars(record).items()
    assert "4111" not in str(vars(record))


def test_masks_that_overlap_are_one(screen_of: ScreenOf) -> None:
    screen = screen_of(file_of(("mask", "bc"), ("mask", "ab"), ("mask", "cd")))
    assert screen.written("x abcd x abx") == ("x [r1] x [r1]x", False)


def test_a_block_counts_before_a_mask_of_the_same_text(screen_of: ScreenOf) -> None:
    assert screen_of(file_of(("mask", "abc"), ("block", "ab"))).written("x abc") == ("x ", True)
    assert screen_of(file_of(("mask", "abc"), ("block", "bc"))).written("x abc y") == ("x [r0]", True)


def test_places_of_what_is_shown(screen_of: ScreenOf, one_rule: OneRule) -> None:
    screen = screen_of(one_rule("mask", "pattern = 'b{2,4}'", replacement='"masked"')).answer("r1")
    text = "abb[1] c bbb [2] bb"
    shown = "".join([*map(screen.feed, text), screen.flush()])
    assert shown == "amasked[1] c masked [2] masked"
    for marker in ("[1]", "[2]"):
        start = text.index(marker)
        assert screen.shown_at(start, start + 3) == (shown.index(marker), shown.index(marker) + 3)
    assert screen.shown_at(2, 4) is None
    assert screen.shown_at(17, 19) is None


def test_a_token_costs_the_same_wherever_it_stands(screen_of: ScreenOf, one_rule: OneRule) -> None:
    """What is kept of an answer does not grow with it."""
    screen = screen_of(one_rule("mask", 'pii = "email"')).answer("r1")
    words = ["bees ", "sleep ", "a@b.example ", "in winter. "] * 800
    for word in words:
        screen.feed(word)
    scan = screen._changing
    assert len(scan._text) + len(screen._sources) + len(screen._redaction._text) < 200


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_beginning_of_a_match_has_begun(pattern: str) -> None:
    part = parse(pattern)
    for text in ("abcbcbc", "bbbb", "cab", "aba", "abababc", "xxxxxxxx", "ab", "c"):
        for found in re.finditer(pattern, text):
            for end in range(found.start() + 1, found.end() + 1):
                assert re.search(rf"(?:{part.begun})\Z", text[:end]), text[:end]
