"""Refused values are shown as far as is needed, and no further."""

import pytest

from service.api.shown import shown

VALUES: list[object] = [None, True, 1.5, "it's", "x" * 300, [], [1, [2, "a"]], {}, {"a": {"b": [1, None]}}, ["y"] * 99]


@pytest.mark.parametrize("value", VALUES)
def test_it_is_the_beginning_of_what_python_says(value: object) -> None:
    said = repr(value)
    assert shown(value, 100) == (said if len(said) <= 100 else f"{said[:100]}...")


class _NotToBeSeen:
    def __repr__(self) -> str:
        raise AssertionError("it was looked at")


def test_nothing_beyond_that_is_looked_at() -> None:
    assert shown([0] * 50 + [_NotToBeSeen()], 100).endswith("...")
    deep: object = 1
    for _ in range(5000):
        deep = [deep]
    assert shown(deep, 100) == "[" * 100 + "..."
