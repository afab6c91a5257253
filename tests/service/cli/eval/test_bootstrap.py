"""Intervals and differences: their invariants, and beside scipy's."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import mannwhitneyu

from service.cli.eval.bootstrap import Bootstrap, Metric, area
from service.cli.eval.samples import Samples

BOOTSTRAP = Bootstrap(seed=5, resamples=2000)
VALUES = np.random.default_rng(0).random(200)


def samples(values: np.ndarray, weights: tuple[float, ...] = (), name: str = "m") -> Samples:
    return Samples.of(name, [str(place) for place in range(len(values))], values.tolist(), weights)


def test_an_interval_is_that_of_scipy() -> None:
    metric = BOOTSTRAP.metric(samples(VALUES))
    expected = scipy_bootstrap((VALUES,), np.mean, n_resamples=2000, method="percentile", rng=0).confidence_interval
    assert metric.value == pytest.approx(VALUES.mean())
    assert metric.n == 200
    assert (metric.low, metric.high) == pytest.approx((expected.low, expected.high), abs=0.01)


def test_the_same_seed_draws_the_same() -> None:
    assert BOOTSTRAP.metric(samples(VALUES)) == BOOTSTRAP.metric(samples(VALUES))
    assert BOOTSTRAP.metric(samples(VALUES)) != Bootstrap(6, 2000).metric(samples(VALUES))


def test_a_share_is_taken_of_the_weights() -> None:
    share = samples(np.array([1.0, 0.0, 2.0]), (1.0, 0.0, 4.0))
    assert share.whole == pytest.approx(3 / 5)
    metric = BOOTSTRAP.metric(share)
    assert metric.n == 2
    assert metric.low is not None
    assert metric.high is not None
    assert 0.5 <= metric.low <= 0.6 <= metric.high <= 1.0


@pytest.mark.parametrize("nothing", [samples(np.array([])), samples(np.array([0.0]), (0.0,))])
def test_nothing_has_no_value(nothing: Samples) -> None:
    assert BOOTSTRAP.metric(nothing) == Metric("m", None, None, None, 0)
    assert BOOTSTRAP.difference(nothing, samples(VALUES)) is None


def test_a_difference_is_paired() -> None:
    better = samples(VALUES + 0.01)
    difference = BOOTSTRAP.difference(better, samples(VALUES))
    assert difference is not None
    assert (difference.value, difference.low, difference.high) == pytest.approx((0.01, 0.01, 0.01))
    assert difference.p == pytest.approx(1 / 2001)  # though each interval alone covers both means


def test_no_difference_is_no_surprise() -> None:
    same = BOOTSTRAP.difference(samples(VALUES), samples(VALUES))
    assert same is not None
    assert (same.value, same.p) == (0.0, 1.0)
    rng = np.random.default_rng(1)
    seen = [
        BOOTSTRAP.difference(samples(rng.random(50)), samples(rng.random(50)))  # of two that are the same in truth
        for _ in range(20)
    ]
    assert sum(each is not None and each.p > 0.05 for each in seen) >= 15


def test_only_queries_that_both_were_asked_count() -> None:
    one = Samples.of("m", ["a", "b", "c"], [1.0, 0.0, 0.0])
    other = Samples.of("m", ["d", "b", "a"], [1.0, 0.5, 0.5])
    difference = BOOTSTRAP.difference(one, other)
    assert difference is not None
    assert (difference.n, difference.value) == (2, 0.0)


def test_the_area_is_the_statistic_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(2)
    positive, negative = rng.integers(0, 9, 40).astype(float), rng.integers(0, 7, 30).astype(float)
    assert area(positive, negative) == pytest.approx(mannwhitneyu(positive, negative).statistic / (40 * 30))
    assert area(np.array([0.9, 0.4]), np.array([0.4, 0.1])) == pytest.approx(3.5 / 4)  # by hand
    metric = BOOTSTRAP.auroc("auroc", positive, negative)
    assert metric.low is not None
    assert metric.high is not None
    assert metric.low < area(positive, negative) < metric.high
    assert BOOTSTRAP.auroc("auroc", positive, np.array([])).value is None
