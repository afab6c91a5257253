"""The stopwatch."""

import pytest

from service.telemetry.timings import Timings, server_timing


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set by the test."""
    now = [100.0]
    monkeypatch.setattr("service.telemetry.timings.time.perf_counter", lambda: now[0])
    return now


def test_stages_and_other_add_up_to_the_total(clock: list[float]) -> None:
    timings = Timings()
    timings.add("queue", 0.001)
    with timings.stage("search"):
        clock[0] += 0.25
    clock[0] += 0.5
    with timings.stage("llm_total"):
        timings.add("llm_ttft", 0.125)
        clock[0] += 1
    seconds = timings.seconds()
    assert seconds["search"] == 0.25
    assert seconds["total"] == 1.75
    assert seconds["other"] == pytest.approx(1.75 - 0.001 - 0.25 - 1)
    assert list(seconds) == ["queue", "search", "llm_ttft", "llm_total", "other", "total"]


def test_a_stage_that_comes_twice_is_summed_and_one_that_fails_is_counted(clock: list[float]) -> None:
    timings = Timings()

    def failing() -> None:
        with timings.stage("search"):
            clock[0] += 2
            raise ValueError("late")

    with timings.stage("search"):
        clock[0] += 1
    with pytest.raises(ValueError, match="late"):
        failing()
    assert timings.seconds()["search"] == 3


def test_other_is_never_negative(clock: list[float]) -> None:
    timings = Timings()
    timings.add("embed", 5)
    clock[0] += 1
    assert timings.seconds() == {"embed": 5, "other": 0, "total": 1}


def test_milliseconds_to_the_microsecond_and_the_header(clock: list[float]) -> None:
    timings = Timings()
    timings.add("embed", 0.0012345678)
    clock[0] += 0.5
    milliseconds = timings.milliseconds()
    assert milliseconds == {"embed": 1.235, "other": 498.765, "total": 500}
    assert server_timing(milliseconds) == "embed;dur=1.235, other;dur=498.765, total;dur=500.0"
