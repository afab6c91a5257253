import pytest

from indexes.crossover import FEWEST_ROWS, MOST_ROWS, crossover, measure_crossover


def scan(a: float, b: float) -> dict[int, float]:
    return {rows: a + b * rows for rows in (1000, 4000)}


def lists(c: float) -> dict[int, float]:
    return {rows: c * rows**0.5 for rows in (2500, 10_000)}


def test_without_a_fixed_cost_they_meet_where_the_root_is_c_over_b() -> None:
    assert crossover(scan(0, 1e-6), lists(2e-4)) == pytest.approx(40_000, abs=1)


def test_a_fixed_cost_of_the_scan_moves_them_together() -> None:
    # s = 300 and s = 100 solve 1e-6 s² - 4e-4 s + 0.03 = 0; the larger counts.
    assert crossover(scan(0.03, 1e-6), lists(4e-4)) == pytest.approx(90_000, abs=1)


def test_one_time_that_is_far_off_does_not_move_the_lists() -> None:
    assert crossover(scan(0, 1e-6), {**lists(2e-4), 22_500: 60.0}) == pytest.approx(40_000, abs=1)


@pytest.mark.parametrize(("c", "rows"), [(1e-5, FEWEST_ROWS), (1e-2, MOST_ROWS)])
def test_the_result_is_clamped(c: float, rows: int) -> None:
    assert crossover(scan(0, 1e-6), lists(c)) == rows


def test_a_scan_that_costs_more_at_any_size_gives_the_fewest_rows() -> None:
    assert crossover(scan(1.0, 1e-6), lists(4e-4)) == FEWEST_ROWS


def test_a_scan_that_was_not_seen_to_grow_is_taken_to_be_in_proportion() -> None:
    assert crossover({1000: 5e-3, 4000: 4e-3}, lists(2e-4)) == pytest.approx(40_000, abs=1)


@pytest.mark.parametrize("dimension", [3, 48])
def test_what_is_measured_is_within_the_limits(dimension: int) -> None:
    assert FEWEST_ROWS <= measure_crossover(dimension) <= MOST_ROWS
