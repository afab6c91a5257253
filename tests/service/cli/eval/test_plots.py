"""Drawings that stand on one page."""

import re
from xml.etree import ElementTree

import numpy as np

from service.cli.eval import plots
from service.cli.eval.abstention import abstention_curve
from service.cli.eval.bootstrap import Metric
from service.cli.eval.latency import Latency
from service.cli.eval.way_result import WayResult


def way(name: str, *metrics: Metric, query: Latency | None = None) -> WayResult:
    curve = abstention_curve(np.array([0.5, 0.6]), np.array([0.4]), np.array([]))
    return WayResult(name, metrics, [], {"search": Latency(4.0, 9.0), "query": query}, curve, 0.0, {}, [])


WAYS = [way("dense", Metric("ndcg@10", 0.5, 0.4, 0.6, 9)), way("hybrid", Metric("ndcg@10", 0.6, 0.61, 0.7, 9))]


def texts(svg: str) -> set[str]:
    return {text for each in ElementTree.fromstring(svg).iter() if (text := (each.text or "").strip())}  # noqa: S314  our own


def test_the_names_inside_two_drawings_differ_and_one_is_the_same_again() -> None:
    one, other = plots.intervals(WAYS, "a"), plots.intervals(WAYS, "b")
    clips = [set(re.findall(r"url\(#(\w+)\)", svg)) for svg in (one, other)]
    assert clips[0]
    assert not clips[0] & clips[1]
    assert one == plots.intervals(WAYS, "a")


def test_what_was_measured_is_drawn() -> None:
    assert {"ndcg@10", "dense", "hybrid"} <= texts(plots.intervals(WAYS, "a"))
    assert "mrr@10" not in texts(plots.intervals(WAYS, "a"))
    drawn = texts(plots.abstention(WAYS[0].curve, "a"))
    assert {"answerable questions answered", "unanswerable questions left open"} <= drawn
    assert "foreign questions left open" not in drawn
    assert "chosen: 0.45" not in drawn
    assert "chosen: 0.45" in texts(plots.abstention(WAYS[0].curve, "a", 0.45))


def test_quality_is_drawn_over_time_where_there_are_both() -> None:
    assert "search, p50 to p95 in ms" in texts(plots.latency(WAYS, "a"))
    assert "query, p50 to p95 in ms" not in texts(plots.latency(WAYS, "a"))
    assert plots.latency([way("dense")], "a") == ""
    answered = way("dense", Metric("gold_in_answer", 0.5, 0.4, 0.6, 9), query=Latency(5.0, 6.0))
    assert "query, p50 to p95 in ms" in texts(plots.latency([answered], "a"))
