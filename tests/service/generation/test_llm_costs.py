"""What the next answer is expected to take, from noisy ones before it."""

import numpy as np
import pytest

from service.generation.llm_costs import LlmCosts

SEED = 5


def test_nothing_is_said_before_a_handful() -> None:
    costs = LlmCosts()
    for _ in range(4):
        costs.add(100, 0.1, 0.01)
        assert costs.expectation is None
    costs.add(100, 0.1, 0.01)
    assert costs.expectation is not None


def test_a_line_is_found_behind_noise_and_outliers() -> None:
    drawn, costs = np.random.default_rng(SEED), LlmCosts()
    for turn in range(64):
        prompt = int(drawn.integers(100, 8000))
        first = (0.05 + 0.0001 * prompt) * drawn.uniform(0.95, 1.05)
        # Every fifth waited behind a full batch.
        costs.add(prompt, first + (3.0 if turn % 5 == 0 else 0.0), 0.02 * drawn.uniform(0.9, 1.1))
    expected = costs.expectation
    assert expected is not None, SEED
    assert expected.prompt_token_s == pytest.approx(0.0001, rel=0.2)
    assert expected.first_token_s + 2000 * expected.prompt_token_s == pytest.approx(0.25, rel=0.2)
    assert expected.token_s == pytest.approx(0.02, rel=0.1)


def test_what_is_long_ago_is_forgotten() -> None:
    costs = LlmCosts()
    for _ in range(500):
        costs.add(1000, 9.0, 0.9)
    for _ in range(64):
        costs.add(1000, 0.1, 0.01)
    assert costs.expectation is not None
    assert (costs.expectation.first_token_s, costs.expectation.token_s) == pytest.approx((0.1, 0.01))


def test_what_was_slow_is_tried_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else short deadlines would pass it over for ever, and it would never be timed again."""
    now = [1000.0]
    monkeypatch.setattr("service.generation.llm_costs.time.monotonic", lambda: now[0])
    costs = LlmCosts()
    for _ in range(64):
        costs.add(1000, 9.0, 0.9)
    now[0] += 59
    assert costs.recent == costs.expectation is not None
    now[0] += 1
    assert costs.recent is None
    assert costs.expectation is not None  # how late is too late is still judged by it
    for _ in range(4):
        costs.add(1000, 0.1, 0.01)
        assert costs.recent is None
    costs.add(1000, 0.1, 0.01)
    assert costs.recent is not None
    assert costs.recent.first_token_s == pytest.approx(0.1)


def test_prompts_of_one_length_have_no_slope() -> None:
    costs = LlmCosts()
    for _ in range(5):
        costs.add(1000, 0.3, None)
    expected = costs.expectation
    assert expected is not None
    assert (expected.first_token_s, expected.prompt_token_s, expected.token_s) == (0.3, 0.0, 0.0)


@pytest.mark.parametrize("slope", [-0.001, 0.001])
def test_neither_height_nor_slope_is_below_zero(slope: float) -> None:
    costs = LlmCosts()
    for prompt in range(600, 1600, 100):
        costs.add(prompt, max(0.01, 0.5 + slope * (prompt - 1000) * 1.5), 0.01)
    assert costs.expectation is not None
    assert min(costs.expectation.first_token_s, costs.expectation.prompt_token_s) >= 0
    at_1000 = costs.expectation.first_token_s + 1000 * costs.expectation.prompt_token_s
    assert at_1000 == pytest.approx(0.5, rel=0.3)
