"""Turns in the order that chat templates ask for."""

import pytest

from service.generation.base import Turn
from service.generation.conversation import MAX_EXCHANGES, Exchange, exchanges

PATTERNS = [
    ("", []),
    ("u", ["u0/(no reply)"]),
    ("a", []),
    ("ua", ["u0/a1"]),
    ("aua", ["u1/a2"]),
    ("uuaau", ["u0,u1/a2,a3", "u4/(no reply)"]),
]


def turns(pattern: str) -> list[Turn]:
    return [Turn("user" if who == "u" else "assistant", f"{who}{n}") for n, who in enumerate(pattern)]


@pytest.mark.parametrize(("pattern", "expected"), PATTERNS)
def test_exchanges(pattern: str, expected: list[str]) -> None:
    found = exchanges(turns(pattern))
    assert [f"{each.user}/{each.assistant}".replace("\n\n", ",") for each in found] == expected


def test_long_conversations_lose_their_beginning() -> None:
    found = exchanges(turns("ua" * (MAX_EXCHANGES + 3)))
    assert len(found) == MAX_EXCHANGES
    assert found[0].user == "u6"


def test_markers_of_earlier_answers_are_left_out() -> None:
    asked, replied = Exchange("Is it [1]?", "It is [1][2]. Aged [18-65], see `x[1]`.").messages()
    assert asked["content"] == "Is it [1]?"
    assert replied["content"] == "It is. Aged [18-65], see `x[1]`."
    assert Exchange("?", "[1]").messages()[1]["content"] == "(no reply)"
