"""Which threshold is chosen, beside a slow search for it."""

import numpy as np
import pytest

from service.cli.calibrate.calibration import Calibration
from service.cli.calibrate.confidences import Confidences
from service.cli.calibrate.held_out import FOLDS, HeldOut
from service.cli.calibrate.rule import Rule, RuleError
from service.cli.eval.bootstrap import Bootstrap

NONE = np.array([])
BALANCED = Rule(answered=0.0, abstained=0.0)


def confidences(answerable: list[float], unanswerable: list[float], foreign: list[float] | None = None) -> Confidences:
    return Confidences(*(np.array(each, np.float64) for each in (answerable, unanswerable, foreign or [])))


def drawn(seed: int, digits: int) -> Confidences:
    rng = np.random.default_rng(seed)
    return Confidences(
        np.round(rng.beta(5, 3, 60), digits), np.round(rng.beta(3, 5, 40), digits), np.round(rng.beta(2, 8, 20), digits)
    )


def shares(found: Confidences, threshold: float) -> tuple[float, float]:
    return float((found.answerable >= threshold).mean()), float((found.open < threshold).mean())


def test_what_is_wholly_apart_is_parted_half_way() -> None:
    assert BALANCED.threshold(confidences([0.8, 0.6], [0.2], [0.3])) == 0.45
    assert BALANCED.threshold(confidences([0.3001, 0.9], [0.3])) == 0.3001  # the middle has too many digits
    assert BALANCED.threshold(confidences([0.5], [0.5])) == 0.25  # one cannot be left open without the other
    assert BALANCED.threshold(confidences([1.0], [1.0])) == 0.5


def test_of_equal_ones_it_is_the_lowest() -> None:
    # From .3 on 2 of 2 and 1 of 2, from .5 on 1 of 2 and 2 of 2.
    assert BALANCED.threshold(confidences([0.3, 0.6], [0.1, 0.5])) == 0.2


@pytest.mark.parametrize("digits", [1, 4])
@pytest.mark.parametrize("rule", [BALANCED, Rule(0.95, 0.0), Rule(1.0, 0.0), Rule(0.0, 0.9), Rule(0.0, 1.0)])
def test_no_threshold_that_keeps_the_shares_is_better(rule: Rule, digits: int) -> None:
    for seed in range(20):
        found = drawn(seed, digits)
        threshold = rule.threshold(found)
        answered, abstained = shares(found, threshold)
        assert answered >= rule.answered, seed
        assert abstained >= rule.abstained, seed
        every = [shares(found, cut) for cut in (*found.answerable, *found.open, 1.1)]  # all that differ
        keeping = [each for each in every if each[0] >= rule.answered and each[1] >= rule.abstained]
        assert answered + abstained == pytest.approx(max(map(sum, keeping))), seed


def test_without_others_it_is_the_highest_that_answers_enough() -> None:
    answerable = [number / 100 for number in range(1, 101)]
    assert Rule(0.95, 0.0).threshold(confidences(answerable, [])) == 0.06
    assert Rule(1.0, 0.0).threshold(confidences(answerable, [])) == 0.01
    assert Rule(0.001, 0.0).threshold(confidences(answerable, [])) == 1.0


@pytest.mark.parametrize(
    ("answered", "abstained", "has_open", "rule"),
    [
        (None, None, True, Rule(0.95, 0.0)),
        (0.0, None, True, Rule(0.0, 0.0)),
        (None, 0.9, True, Rule(0.0, 0.9)),
        (0.9, None, False, Rule(0.9, 0.0)),
    ],
)
def test_what_the_command_line_means(
    answered: float | None, abstained: float | None, has_open: bool, rule: Rule
) -> None:
    assert Rule.asked(answered, abstained, has_open=has_open) == rule


@pytest.mark.parametrize(
    ("answered", "abstained", "has_open", "said"),
    [
        (0.9, 0.9, True, "may contradict each other"),
        (1.1, None, True, "--answered 1.1 is no share"),
        (None, -0.1, True, "--abstained -0.1 is no share"),
        (float("nan"), None, True, "--answered nan is no share"),
        (None, None, False, "--answered 0.95 takes the highest"),
        (0.0, None, False, "--answered 0.95 takes the highest"),
        (None, 0.9, False, "--answered 0.95 takes the highest"),
    ],
)
def test_a_rule_that_is_none(answered: float | None, abstained: float | None, has_open: bool, said: str) -> None:
    with pytest.raises(RuleError, match=said):
        Rule.asked(answered, abstained, has_open=has_open)


def test_a_question_that_is_held_out_has_no_say() -> None:
    found = confidences([0.8] * 20, [0.1] * 19 + [0.7])
    calibration = Calibration.by(BALANCED, found, Bootstrap(0, 100))
    assert calibration.threshold == 0.75
    assert [each.value for each in calibration.on_all] == [1.0, 1.0, None]
    held_out = calibration.held_out
    assert sorted(held_out.thresholds) == [0.45] + [0.75] * (FOLDS - 1)  # .45 where the .7 was held out
    assert [each.value for each in held_out.shares] == [1.0, 0.95, None]
    assert [each.n for each in held_out.shares] == [20, 20, 0]


def test_the_shares_flatter_less_when_held_out() -> None:
    flattery = []
    for seed in range(30):
        found = drawn(seed, 4)
        calibration = Calibration.by(BALANCED, found, Bootstrap(seed, 100))
        sums = [sum(each.value for each in shares[:2] if each.value) for shares in (
            calibration.on_all, calibration.held_out.shares)]  # fmt: skip
        flattery.append(sums[0] - sums[1])
    assert np.mean(flattery) > 0


def test_the_seed_says_what_is_held_out() -> None:
    found = drawn(1, 4)
    assert HeldOut.by(BALANCED, found, 3) == HeldOut.by(BALANCED, found, 3) != HeldOut.by(BALANCED, found, 4)


def test_intervals_of_shares_have_a_width_at_the_ends_too() -> None:
    (answered, _, foreign) = Calibration.by(BALANCED, confidences([0.8] * 20, [], [0.1] * 30), Bootstrap(0, 100)).on_all
    assert (answered.value, answered.high, foreign.value, foreign.n) == (1.0, 1.0, 1.0, 30)
    assert answered.low == pytest.approx(0.839, abs=0.001)  # Wilson's of 20 of 20


def test_what_answers_nothing_is_refused() -> None:
    with pytest.raises(RuleError, match="--abstained 1 would leave every answerable question open"):
        Calibration.by(Rule(0.0, 1.0), confidences([0.2, 0.3], [0.9]), Bootstrap(0, 100))


def test_chance_tells_nothing_apart() -> None:
    rng = np.random.default_rng(0)
    same = Confidences(rng.random(200), rng.random(200), NONE)
    assert not Calibration.by(Rule(0.95, 0.0), same, Bootstrap(0, 200)).tells_apart
    assert Calibration.by(Rule(0.95, 0.0), drawn(0, 4), Bootstrap(0, 200)).tells_apart
    assert Calibration.by(Rule(0.95, 0.0), Confidences(rng.random(20), NONE, NONE), Bootstrap(0, 200)).tells_apart
