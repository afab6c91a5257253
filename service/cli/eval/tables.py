"""A report for people, in a terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from service.cli.console import err, out
from service.cli.eval.bootstrap import Difference, Metric
from service.cli.eval.evaluation import CollectionResult
from service.cli.eval.index_comparison import IndexResult
from service.cli.eval.latency import Latency
from service.cli.eval.report import Report
from service.cli.eval.way_result import WayResult

_SHOWN_FAILURES = 5
_SIGNIFICANT = 0.05


def show(report: Report) -> None:
    """Every collection, then what it is compared with and held to."""
    for collection in report.evaluation.collections:
        _show_collection(collection)
    for compared in report.compared:
        title = f"{compared.collection} {compared.way}: now less earlier"
        out.print(difference_table(title, compared.differences), soft_wrap=False)
    if report.verdicts:
        table = Table("target", "measured", "", "", box=box.SIMPLE)
        for verdict in report.verdicts:
            value = "not measured" if verdict.value is None else f"{verdict.value:.4g}"
            table.add_row(verdict.name, value, f"{verdict.bound} {verdict.limit:g}", "met" if verdict.met else "missed")
        out.print(table, soft_wrap=False)


def _show_collection(collection: CollectionResult) -> None:
    documents = ", ".join(f"{count} {outcome}" for outcome, count in collection.documents.outcomes.items())
    out.print(f"\n{collection.name}: {documents}; {collection.queries} queries", style="bold", markup=False)
    for said in remarks(collection):
        err.print(said, style="yellow", markup=False)
    out.print(metric_table(collection.ways), soft_wrap=False)
    for way, found in collection.differences.items():
        out.print(difference_table(f"{way} less {collection.ways[0].way}", found), soft_wrap=False)
    if collection.index is not None:
        index = collection.index
        out.print(f"IVF-PQ beside exact search: {_latency(index.ivf_pq_ms)} and {_latency(index.exact_ms)}")
        for metric in index.metrics:
            out.print(f"  {metric.name} {shown(metric)}, {by_lists(index, metric.name)}")
        out.print(difference_table("IVF-PQ less exact", index.differences), soft_wrap=False)


def remarks(collection: CollectionResult) -> list[str]:
    """What a reader of the figures should know."""
    unknown, documents = collection.unknown, collection.documents
    counts = {
        "empty documents were skipped": documents.empty,
        "documents of others are in the collection": documents.others,
        "queries that judgments name do not exist": unknown.queries,
        "documents that judgments name do not exist": unknown.documents,
        "queries have no judgment and are in no figure of relevance": unknown.unjudged_queries,
    }
    said = [f"{count} {what}" for what, count in counts.items() if count]
    if collection.index is None:
        said.append(f"IVF-PQ was not compared with exact search: {collection.index_reason}")
    for way in collection.ways:
        said += [f"{way.way}: {count} replies without {rung}" for rung, count in way.degraded.items()]
        said += [f"{way.way}: {each.query} failed: {each.said}" for each in way.failures[:_SHOWN_FAILURES]]
        if len(way.failures) > _SHOWN_FAILURES:
            said.append(f"{way.way}: {len(way.failures) - _SHOWN_FAILURES} more failed")
    return said


def metric_table(ways: Sequence[WayResult]) -> Table:
    """A row for each metric, a column for each way."""
    table = Table("", *(way.way for way in ways), box=box.SIMPLE)
    for name in dict.fromkeys(metric.name for way in ways for metric in way.metrics):
        found = [way.metric(name) for way in ways]
        if any(found):
            table.add_row(name, *(shown(metric) for metric in found))
    for what in ("search", "query"):
        latencies = [way.latency_ms[what] for way in ways]
        if any(latencies):
            table.add_row(f"{what}, p50 / p95", *map(_latency, latencies))
    return table


def difference_table(title: str, differences: Sequence[Difference]) -> Table:
    """A row for each metric; what chance would seldom bring is bold."""
    table = Table("", "difference", "95 % interval", "p", title=title, title_justify="left", box=box.SIMPLE)
    for each in differences:
        style = "bold" if each.p < _SIGNIFICANT else None
        interval = f"{each.low:+.4f} to {each.high:+.4f}"
        table.add_row(each.name, f"{each.value:+.4f}", interval, f"{each.p:.4f}", style=style)
    return table


def shown(metric: Metric | None) -> str:
    """Value and interval."""
    return "-" if metric is None else str(metric)


def by_lists(index: IndexResult, name: str) -> str:
    """How many of the searches an index answered at all."""
    share = index.share_by_lists[name]
    return "no searches" if share is None else f"{share:.0%} of the searches by its lists"


def _latency(latency: Latency | None) -> str:
    return "-" if latency is None else f"{latency.p50:.1f} / {latency.p95:.1f} ms"
