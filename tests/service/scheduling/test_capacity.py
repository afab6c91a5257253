"""What a forward costs, as it is learnt."""

import random

import pytest

from service.scheduling.capacity import Capacity, CostModel

POINTS = [(tokens, 0.002 + 0.0001 * tokens) for tokens in (16, 32, 64, 128, 256, 512)]


def test_the_line_through_points_on_a_line() -> None:
    cost = CostModel(POINTS)
    assert cost.fixed_s == pytest.approx(0.002)
    assert cost.per_token_s == pytest.approx(0.0001)
    assert cost.seconds(1000) == pytest.approx(0.102)
    assert cost.tokens_within(0.102) in {999, 1000}
    assert cost.tokens_within(0.001) == 0


def test_it_follows_a_device_that_became_slower() -> None:
    print("seed 3")  # noqa: T201
    rng, cost = random.Random(3), CostModel(POINTS)  # noqa: S311
    for _ in range(500):
        tokens = rng.choice((16, 100, 400))
        cost.observe(tokens, (0.004 + 0.0003 * tokens) * rng.uniform(0.9, 1.1))
    for tokens in (16, 100, 400):
        assert cost.seconds(tokens) == pytest.approx(0.004 + 0.0003 * tokens, rel=0.25)
    assert 0.01 < cost.error < 0.3


def test_a_single_size_seen_for_long_does_not_lose_the_slope() -> None:
    cost = CostModel(POINTS)
    for _ in range(2000):
        cost.observe(12, 0.0032)
    assert cost.seconds(12) == pytest.approx(0.0032, rel=0.05)
    assert cost.per_token_s == pytest.approx(0.0001, rel=0.2)


@pytest.mark.parametrize("points", [[(100, 0.01)], [(100, 0.01)] * 3, [(16, 0.01), (512, 0.001)], [(1, 0.0), (2, 0.0)]])
def test_points_that_say_little_still_give_a_line_that_rises_from_zero_or_above(
    points: list[tuple[int, float]],
) -> None:
    cost = CostModel(points)
    assert cost.fixed_s >= 0
    assert cost.per_token_s > 0


def test_bulk_batches_are_as_long_as_a_query_may_wait() -> None:
    capacity = Capacity(10_000, CostModel(POINTS), bulk_batch_s=0.052)
    assert capacity.tokens == 10_000
    assert capacity.bulk_tokens in {499, 500}
    assert Capacity(100, CostModel(POINTS), 1.0).bulk_tokens == 100
    assert Capacity(1000, CostModel(POINTS), 1e-6).bulk_tokens == 256


def test_the_time_of_a_queue_counts_every_forward_it_takes() -> None:
    capacity = Capacity(100, CostModel(POINTS), 1.0)
    assert capacity.seconds(0) == 0
    assert capacity.seconds(250) == pytest.approx(3 * 0.002 + 250 * 0.0001)


def test_the_budget_shrinks_with_the_memory_and_comes_back() -> None:
    capacity = Capacity(1000, CostModel(POINTS), 100.0)
    capacity.shrink(300)
    capacity.shrink(500)
    assert capacity.tokens == capacity.bulk_tokens == 300
    for _ in range(256):
        capacity.observe(100, 0.012)
    assert capacity.tokens == 600
    for _ in range(256):
        capacity.observe(100, 0.012)
    assert capacity.tokens == 1000
    capacity.shrink(0)
    assert capacity.tokens == 1
