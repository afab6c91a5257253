from dataclasses import replace

import pytest

from indexes.retraining import IndexHealth, rebuild_reason

HEALTHY = IndexHealth(
    rows=3000,
    trained_rows=1000,
    dead_rows=750,
    imbalance=1.5,
    trained_imbalance=1.0,
    residual=2.2,
    trained_residual=2.0,
    recall=0.99,
    target_recall=0.99,
)


def test_an_index_at_every_limit_stays() -> None:
    assert rebuild_reason(HEALTHY) is None


def test_what_was_not_measured_is_no_reason() -> None:
    assert rebuild_reason(replace(HEALTHY, residual=None, recall=None)) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rows": 3001}, "3001 rows are more than 3 times the 1000 it was trained on"),
        ({"dead_rows": 751}, "751 of 3000 rows are dead, more than 25%"),
        ({"imbalance": 1.51}, "the imbalance of its lists is 1.51, more than 1.5 times the 1 at training"),
        ({"residual": 2.21}, "the residual of newer rows is 2.21, more than 1.1 times the 2 at training"),
        ({"recall": 0.9899}, "the live recall is 0.9899 at most, below the target of 0.99"),
    ],
)
def test_beyond_a_limit_the_reason_names_the_value_and_the_limit(changed: dict[str, float], reason: str) -> None:
    assert rebuild_reason(replace(HEALTHY, **changed)) == reason  # type: ignore[arg-type]


def test_an_empty_index_stays() -> None:
    assert rebuild_reason(replace(HEALTHY, rows=0, dead_rows=0)) is None
