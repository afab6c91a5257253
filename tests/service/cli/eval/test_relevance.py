"""Metrics of rankings, beside values computed by hand."""

from math import log2

import pytest

from service.cli.eval.relevance import RELEVANCE_METRICS, relevance

JUDGMENTS = {"graded": {"a": 2, "c": 1, "x": 0}, "late": {"z": 1}, "half": {"a": 1, "b": 1}}
RANKINGS = {
    "graded": ("b", "a", "c"),
    "late": (*(f"n{place}" for place in range(10)), "z"),
    "half": ("b",),
}


def test_every_metric_is_what_the_formula_says() -> None:
    found = {each.name: dict(zip(each.ids, each.values, strict=True)) for each in relevance(JUDGMENTS, RANKINGS)}
    assert tuple(found) == RELEVANCE_METRICS
    gained, ideal = 2 / log2(3) + 1 / log2(4), 2 / log2(2) + 1 / log2(3)
    assert found["ndcg@10"] == pytest.approx(
        {"graded": gained / ideal, "late": 0.0, "half": 1 / (1 + 1 / log2(3))}, abs=1e-6
    )
    assert found["recall@10"] == {"graded": 1.0, "late": 0.0, "half": 0.5}
    assert found["recall@100"] == {"graded": 1.0, "late": 1.0, "half": 0.5}
    assert found["hit@1"] == {"graded": 0.0, "late": 0.0, "half": 1.0}
    assert found["mrr@10"] == {"graded": 0.5, "late": 0.0, "half": 1.0}


def test_the_order_counts_and_no_tie_is_broken_by_the_names() -> None:
    judgments = {"q": {"a": 1}}
    first, second = (
        next(each.whole for each in relevance(judgments, {"q": ranking}) if each.name == "mrr@10")
        for ranking in (("a", "z"), ("z", "a"))
    )
    assert (first, second) == (1.0, 0.5)


def test_a_query_without_hits_counts_as_nothing() -> None:
    found = relevance({"q": {"a": 1}, "r": {"a": 1}}, {"q": ("a",), "r": ()})
    assert {each.name: each.whole for each in found} == dict.fromkeys(RELEVANCE_METRICS, 0.5)


def test_nothing_was_asked() -> None:
    assert [each.whole for each in relevance({}, {})] == [None] * len(RELEVANCE_METRICS)
