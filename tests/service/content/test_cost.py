"""Patterns that cost others an exponential time, and texts made for it: the time is linear here."""

import time
from collections.abc import Callable
from typing import Any

import pytest

ScreenOf = Callable[[str], Any]

# Of a backtracking engine each takes for ever on some thousand characters of its text.
HOSTILE = [
    ("(?:a+)+b", "a"), ("(?:a|aa)+c", "a"), ("(?:a|a?)+b", "a"), (r"(?:\w+\s?)+!", "ab "), ("(?:.*a){12}x", "a"),
]  # fmt: skip
LENGTH, TIMES = 4000, 16


def took(work: Callable[[], object]) -> float:
    """Seconds of this thread's time, the least of three."""
    least = float("inf")
    for _ in range(3):
        start = time.thread_time()
        work()
        least = min(least, time.thread_time() - start)
    return least


@pytest.mark.parametrize(("pattern", "text"), HOSTILE)
def test_a_question_costs_as_much_as_it_is_long(
    screen_of: ScreenOf, one_rule: Callable[..., str], pattern: str, text: str
) -> None:
    screen = screen_of(one_rule("block", f"pattern = '{pattern}'").replace(', "answer"', ""))
    short, long = text * LENGTH, text * LENGTH * TIMES
    screen.question([long], "query", "r1")  # what RE2 remembers of a pattern is made once
    cost = took(lambda: screen.question([short], "query", "r1"))
    assert took(lambda: screen.question([long], "query", "r1")) < 3 * TIMES * max(cost, 1e-4)


@pytest.mark.parametrize("kind", ["email", "credit_card", "iban", "phone", "ip_address"])
@pytest.mark.parametrize("text", ["4", "a", "a@", "a.", "12:", "DE12", "+4 ", "4 ", "é4 "])
def test_what_is_built_in_costs_as_much_as_a_text_is_long(
    screen_of: ScreenOf, one_rule: Callable[..., str], kind: str, text: str
) -> None:
    screen = screen_of(one_rule("mask", f'pii = "{kind}"'))
    short, long = text * LENGTH, text * LENGTH * TIMES
    screen.question([long], "query", "r1")
    cost = took(lambda: screen.question([short], "query", "r1"))
    assert took(lambda: screen.question([long], "query", "r1")) < 3 * TIMES * max(cost, 1e-4)


def test_an_answer_costs_as_much_as_it_is_long(screen_of: ScreenOf, one_rule: Callable[..., str]) -> None:
    """All of it could become a match, for as long as one may be."""
    screen = screen_of(one_rule("mask", "pattern = '(?:a{1,20}){1,20}b'"))
    short = took(lambda: screen.written(*["a"] * 1000))
    assert took(lambda: screen.written(*["a"] * 8000)) < 3 * 8 * short
