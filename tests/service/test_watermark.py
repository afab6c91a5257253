"""Levels of memory, by a table."""

import random

import pytest

from service.watermark import Filling, Level, Watermarks

CLEAR, LOW, HIGH = Level
MARKS = Watermarks(0.90, 0.95)


@pytest.mark.parametrize(
    ("share", "from_clear", "from_low", "from_high"),
    [
        (0.0, CLEAR, CLEAR, CLEAR),
        (0.8799, CLEAR, CLEAR, CLEAR),
        (0.8801, CLEAR, LOW, LOW),
        (0.8999, CLEAR, LOW, LOW),
        (0.9, LOW, LOW, LOW),
        (0.9299, LOW, LOW, LOW),
        (0.9301, LOW, LOW, HIGH),
        (0.9499, LOW, LOW, HIGH),
        (0.95, HIGH, HIGH, HIGH),
        (1.2, HIGH, HIGH, HIGH),
    ],
)
def test_a_mark_is_left_further_down_than_it_is_reached(
    share: float, from_clear: Level, from_low: Level, from_high: Level
) -> None:
    assert [MARKS.level(share, before) for before in Level] == [from_clear, from_low, from_high]


@pytest.mark.parametrize(
    ("marks", "share", "level"),
    [
        (Watermarks(1.0, 1.0), 1.5, CLEAR),
        (Watermarks(0.5, 1.0), 1.5, LOW),
        (Watermarks(0.5, 0.5), 0.5, HIGH),
        (Watermarks(0.5, 0.5), 0.49, CLEAR),
    ],
)
def test_a_mark_of_one_is_off_and_equal_marks_are_one(marks: Watermarks, share: float, level: Level) -> None:
    assert marks.level(share, CLEAR) is level
    assert marks.level(share, Level.CLEAR if level is CLEAR else HIGH) in {level, HIGH}


def test_what_sways_by_less_than_the_slack_changes_nothing() -> None:
    seed = random.randrange(2**32)  # noqa: S311
    print(f"seed {seed}")  # noqa: T201  names the data of a failure
    drawn = random.Random(seed)  # noqa: S311
    for mark in (MARKS.low, MARKS.high):
        level, changes = MARKS.level(mark, CLEAR), 0
        for _ in range(1000):
            after = MARKS.level(mark + drawn.uniform(-0.019, 0.0), level)
            changes += after is not level
            level = after
        assert changes == 0


def test_each_device_has_its_own_level_and_one_that_is_gone_has_none() -> None:
    before = {"cpu": LOW, "cuda:0": HIGH, "cuda:1": HIGH}
    fillings = [Filling("cpu", 89, 100), Filling("cuda:0", 40, 100)]
    assert MARKS.levels(fillings, before) == {"cpu": LOW, "cuda:0": CLEAR}
    assert MARKS.levels(fillings, {}) == {"cpu": CLEAR, "cuda:0": CLEAR}
