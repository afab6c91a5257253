"""Estimates of what things take."""

import pytest

from service.pace import Estimate


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic time that estimates read, to be set by the test."""
    now = [1000.0]
    monkeypatch.setattr("service.pace.time.monotonic", lambda: now[0])
    return now


@pytest.fixture
def estimate(clock: list[float]) -> Estimate:
    return Estimate()


def test_nothing_is_known_at_first(estimate: Estimate) -> None:
    assert (estimate.usual, estimate.most, estimate.least) == (None, None, None)


def test_it_comes_to_what_is_measured(estimate: Estimate) -> None:
    for _ in range(100):
        estimate.observe(2.0)
    assert estimate.usual == estimate.least == 2.0
    assert estimate.most == pytest.approx(2.0, abs=1e-6)


def test_the_least_falls_at_once_and_rises_slowly(estimate: Estimate) -> None:
    for value in (5.0, 1.0, 5.0):
        estimate.observe(value)
    least, usual, most = estimate.least, estimate.usual, estimate.most
    assert least is not None
    assert usual is not None
    assert most is not None
    assert 1.0 <= least < 1.2 < usual < 5.0 < most


def test_what_was_cut_counts_only_upwards(estimate: Estimate) -> None:
    estimate.observe(1.0)
    estimate.observe_cut(0.1)
    assert estimate.usual == 1.0
    estimate.observe_cut(9.0)
    assert (estimate.usual or 0) > 1.0


def test_what_was_measured_long_ago_is_not_known(estimate: Estimate, clock: list[float]) -> None:
    estimate.observe(1.0)
    clock[0] += 9
    assert estimate.usual == 1.0
    clock[0] += 2
    assert (estimate.usual, estimate.most, estimate.least) == (None, None, None)
