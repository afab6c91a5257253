"""A report as one HTML page that loads nothing."""

from collections.abc import Sequence
from typing import Any

from service.cli.eval import plots
from service.cli.eval.evaluation import CollectionResult
from service.cli.eval.report import Report
from service.cli.eval.tables import by_lists, remarks, shown
from service.cli.eval.template import drawing, rendered
from service.cli.eval.way_result import WayResult


def page(report: Report) -> str:
    """HTML with the plots inside it; no scripts."""
    return rendered(
        "eval/page.html.j2",
        {"metric": shown, "by_lists": by_lists},
        report=report,
        told=report.as_json(),
        collections=[_collection(each) for each in report.evaluation.collections],
    )


def _collection(result: CollectionResult) -> dict[str, Any]:
    salt = result.name
    curves = [
        {"way": way.way, "plot": drawing(plots.abstention(way.curve, f"{salt} {way.way} abstention"))}
        for way in result.ways
        if way.curve
    ]
    return {
        "result": result,
        "remarks": remarks(result),
        "names": _measured_names(result.ways),
        "intervals": drawing(plots.intervals(result.ways, f"{salt} intervals")),
        "latency": drawing(plots.latency(result.ways, f"{salt} latency")),
        "curves": curves,
    }


def _measured_names(ways: Sequence[WayResult]) -> list[str]:
    names = dict.fromkeys(metric.name for way in ways for metric in way.metrics)
    return [name for name in names if any(way.metric(name) for way in ways)]
