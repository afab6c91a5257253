"""What figures are held to, and what an earlier report says."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.cli.eval.bootstrap import Bootstrap, Metric
from service.cli.eval.dataset import Unknown
from service.cli.eval.earlier import Earlier, EarlierReportError
from service.cli.eval.evaluation import CollectionResult, Evaluation
from service.cli.eval.index_comparison import IndexResult
from service.cli.eval.ingestion import Ingested
from service.cli.eval.latency import Latency
from service.cli.eval.margins import Margin, MarginError
from service.cli.eval.options import Options
from service.cli.eval.report import Report
from service.cli.eval.samples import Samples
from service.cli.eval.targets import Target, TargetError, Verdict
from service.cli.eval.way_result import WayResult

IDS = [f"q{number}" for number in range(8)]


def way(name: str, values: Sequence[float], weights: Sequence[float] = ()) -> WayResult:
    samples = [Samples.of("ndcg@10", IDS, values), Samples.of("citation_precision", IDS, values, weights)]
    metrics = [Bootstrap(0, 100).metric(each) for each in samples]
    return WayResult(name, metrics, samples, {"search": Latency(4.0, 9.0), "query": None}, [], 0.0, {}, [])


def collection(*ways: WayResult) -> CollectionResult:
    index = IndexResult([Metric("overlap@10", 0.9, 0.8, 1.0, 8)], {"overlap@10": 1.0}, [], None, None)
    ingested, unknown = Ingested({"created": 1}, 0, 0), Unknown(0, 0, 0)
    return CollectionResult("docs", "docs", ingested, unknown, 8, {}, {}, ways, {}, index)


EVALUATION = Evaluation([collection(way("dense", [1.0] * 8, [2.0] * 8), way("hybrid:0.5", [1 / 3] * 8))], {})


def target(text: str) -> Target:
    return Target.parsed(text, ["docs"], ["dense", "hybrid:0.5"], top_k=100)


@pytest.mark.parametrize(
    ("text", "verdicts"),
    [
        ("ndcg@10=0.7", [("docs.dense.ndcg@10", 1.0, True), ("docs.hybrid:0.5.ndcg@10", pytest.approx(1 / 3), False)]),
        ("docs.dense.ndcg@10=1", [("docs.dense.ndcg@10", 1.0, True)]),
        ("hybrid:0.5.ndcg@10=.3", [("docs.hybrid:0.5.ndcg@10", pytest.approx(1 / 3), True)]),
        ("docs.dense.search_p50_ms=3.9", [("docs.dense.search_p50_ms", 4.0, False)]),
        ("dense.search_p95_ms=9", [("docs.dense.search_p95_ms", 9.0, True)]),
        ("docs.overlap@10=0.9", [("docs.dense.overlap@10", 0.9, True)]),
        ("gold_in_answer=0", [("gold_in_answer", None, False)]),
        ("query_p50_ms=100", [("query_p50_ms", None, False)]),
    ],
)
def test_a_target_is_held_against_every_figure_of_its_name(
    text: str, verdicts: list[tuple[str, float | None, bool]]
) -> None:
    found = target(text).verdicts(EVALUATION)
    assert [(each.name, each.value, each.met) for each in found] == verdicts


def margin(text: str, *, is_better: bool) -> Margin:
    return Margin.parsed(text, ["docs"], ["default", "dense", "rrf"], is_better=is_better)


@pytest.mark.parametrize(
    ("first", "other", "beats", "is_not_below"),
    [
        ([0.9, 0.8, 0.9, 0.7] * 2, [0.5, 0.6, 0.5, 0.6] * 2, True, True),
        ([0.5] * 8, [0.5] * 8, False, True),  # all the same is no better
        ([0.9, 0.1] * 4, [0.1, 0.8] * 4, False, True),  # by chance
        ([0.5, 0.6, 0.5, 0.6] * 2, [0.9, 0.8, 0.9, 0.7] * 2, False, False),
    ],
)
def test_a_margin_is_what_the_paired_interval_says(
    first: Sequence[float], other: Sequence[float], beats: bool, is_not_below: bool
) -> None:
    measured = Evaluation([collection(way("default", first), way("dense", other), way("rrf", [0.0] * 8))], {})
    (better,) = margin("docs.dense", is_better=True).verdicts(measured, Bootstrap(0, 500))
    (no_worse,) = margin("dense", is_better=False).verdicts(measured, Bootstrap(0, 500))
    assert (better.met, no_worse.met) == (beats, is_not_below)
    assert (better.name, better.bound) == ("docs.default.ndcg@10 less dense, lower end", "more than")
    assert (no_worse.name, no_worse.bound) == ("docs.default.ndcg@10 less dense, upper end", "at least")


@pytest.mark.parametrize("text", ["default", "other.dense", "docs.default", "lexical", ""])
def test_a_margin_over_what_is_not_beside_the_first_way(text: str) -> None:
    with pytest.raises(
        MarginError, match=r"--beats .*: is not \[COLLECTION.\]WAY with a way beside the first: dense, rrf"
    ):
        margin(text, is_better=True)
    with pytest.raises(MarginError, match=r"--not-below dense: is .* the first: none"):
        Margin.parsed("dense", ["docs"], ["default"], is_better=False)


@pytest.mark.parametrize("text", ["ndcg@10", "=1", "ndcg@10=", "ndcg@10=high", "ndcg@10=nan", "ndcg@10=inf"])
def test_a_target_without_a_number(text: str) -> None:
    with pytest.raises(TargetError, match="must be NAME=VALUE, with a number"):
        target(text)


@pytest.mark.parametrize("name", ["ndcg@5", "docs.ndcg", "other.ndcg@10", "lexical.ndcg@10", "dense.docs.ndcg@10"])
def test_a_target_of_what_is_not_measured(name: str) -> None:
    with pytest.raises(TargetError, match=r"is not \[COLLECTION.\]\[WAY.\]METRIC with one of ndcg@10"):
        target(f"{name}=1")


def test_a_missed_target_is_the_report_s(options: Callable[..., Options]) -> None:
    report = Report(EVALUATION, options(), [], [Verdict("a", 1.0, 0.5, False), Verdict("b", 1.0, 0.5, True)])
    assert report.met is False
    told = report.as_json()
    missed = {"name": "b", "value": 1.0, "limit": 0.5, "is_most": True, "is_strict": False, "met": False}
    assert told["targets"][1] == missed


def test_a_report_is_compared_with_itself_and_with_a_better_one(
    options: Callable[..., Options], tmp_path: Path
) -> None:
    path = tmp_path / "before.json"
    path.write_text(json.dumps(Report(EVALUATION, options(), [], []).as_json()))
    earlier = Earlier.read(path)
    earlier.require(["docs"], ["hybrid:0.5"])
    same = earlier.compared(EVALUATION, Bootstrap(0, 100))
    assert [(each.way, each.differences[0].value, each.differences[0].p) for each in same] == [
        ("dense", 0.0, 1.0),
        ("hybrid:0.5", 0.0, 1.0),
    ]
    assert earlier.samples["docs", "dense"][1].weights.tolist() == [2.0] * 8
    now = replace(EVALUATION, collections=[collection(way("dense", [0.25] * 8))])
    (worse,) = earlier.compared(now, Bootstrap(0, 100))
    assert (worse.collection, worse.differences[0].value) == ("docs", -0.75)
    assert worse.differences[0].p == pytest.approx(1 / 101)


def test_an_earlier_report_of_something_else(options: Callable[..., Options], tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    path.write_text(json.dumps(Report(EVALUATION, options(), [], []).as_json()))
    with pytest.raises(EarlierReportError, match=r"nothing that is measured now, but docs dense, docs hybrid:0.5"):
        Earlier.read(path).require(["docs"], ["lexical"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "Invalid JSON"),
        ("{}", "collections: Field required"),
        ({"collections": [{"name": "a", "ways": [{"way": "b"}]}]}, "collections.0.ways.0.per_query: Field required"),
        ({"collections": [{"name": "a", "ways": [{"way": "b", "per_query": {"m": {"q": "1"}}}]}]}, "per_query.m.q"),
        ({"collections": [{"name": "a", "ways": [{"way": "b", "per_query": {"m": {"q": [1, -1]}}}]}]}, "per_query.m.q"),
    ],
)
def test_a_file_that_is_no_report(content: Any, said: str, tmp_path: Path) -> None:  # noqa: ANN401
    path = tmp_path / "before.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(EarlierReportError) as raised:
        Earlier.read(path)
    assert str(raised.value).startswith(f"{path} is no report of quarry eval: ")
    assert said in str(raised.value)


def test_a_report_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EarlierReportError, match=r"before\.json: No such file"):
        Earlier.read(tmp_path / "before.json")
