"""Requests that have ended: counted and logged many at a time, and each as it was."""

import asyncio
import logging

import pytest

from service.telemetry.ended_requests import EndedRequest
from service.telemetry.metrics import Metrics
from service.telemetry.timings import Timings

SEARCH = {"route": "/v1/search", "method": "POST", "status": "200"}


def ended(request_id: str = "r", timings: Timings | None = None, at: float = 1_800_000_000.25) -> EndedRequest:
    timings = timings or Timings()
    timings.end()
    return EndedRequest(request_id, "none", "POST", "/v1/search", 200, timings, at)


def counted(metrics: Metrics) -> float:
    return metrics.registry.get_sample_value("quarry_requests_total", SEARCH) or 0.0


def test_they_are_counted_without_anybody_asking() -> None:
    async def scenario() -> None:
        metrics = Metrics()
        for turn in (3, 6):
            for _ in range(3):
                metrics.ended.add(ended())
            assert counted(metrics) == turn - 3, "later"
            async with asyncio.timeout(200):
                while counted(metrics) < turn:  # noqa: ASYNC110  that it waits for the loop's clock is what is tested
                    await asyncio.sleep(0.01)
            assert counted(metrics) == turn

    asyncio.run(scenario())


def test_who_asks_for_the_metrics_sees_all_of_them() -> None:
    async def scenario() -> None:
        metrics = Metrics()
        metrics.ended.add(ended())
        assert b'quarry_requests_total{method="POST",route="/v1/search",status="200"} 1.0' in metrics.render()
        metrics.render()
        assert counted(metrics) == 1

    asyncio.run(scenario())


def test_a_loop_that_is_behind_keeps_no_more_than_a_few_hundred() -> None:
    async def scenario() -> None:
        metrics = Metrics()
        for _ in range(1000):
            metrics.ended.add(ended())
        assert counted(metrics) > 1000 - 256

    asyncio.run(scenario())


def test_each_counts_and_says_what_it_was_when_it_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = [5.0]
    monkeypatch.setattr("service.telemetry.timings.time.perf_counter", lambda: now[0])

    async def scenario() -> None:
        metrics, timings = Metrics(), Timings()
        now[0] += 0.25
        timings.add("embed", 0.125)
        metrics.ended.add(ended("mine", timings))
        now[0] += 60
        metrics.ended.fold()
        value = metrics.registry.get_sample_value
        assert value("quarry_request_seconds_sum", {"route": "/v1/search"}) == 0.25
        assert value("quarry_stage_seconds_sum", {"stage": "total"}) == 0.25

    with caplog.at_level(logging.INFO, "quarry"):
        asyncio.run(scenario())
    (record,) = caplog.records
    assert (record.created, record.msecs) == (1_800_000_000.25, 250.0)
    line = vars(record)
    assert (line["request_id"], line["milliseconds"]) == ("mine", 250.0)
