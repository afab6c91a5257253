"""A report of search for people."""

from typing import Any

from rich.table import Table

from service.cli.console import out

_NAMES = {
    "vector": "collection, without texts",
    "search": "collection",
    "hybrid": "collection, words too",
    "raw": "FAISS and refine alone",
}


def show(report: dict[str, Any]) -> None:
    """Latencies, what disturbs them, and the targets."""
    out.print(f"{report['rows']:,} rows of {report['dimension']} dimensions: {report['vectors']}", markup=False)
    out.print(f"nprobe {report['nprobe']}, refine {report['refine']}, built in {report['build_s']} s")
    out.print(_latencies(report))
    out.print(_targets(report))


def show_leaks(report: dict[str, Any]) -> None:
    """Counts, and the filters that went wrong."""
    for name in ("filters", "updates", "hits", "leaked", "short"):
        out.print(f"{name:<8} {report[name]:,}")
    for example in report["examples"]:
        out.print(str(example), markup=False)


def _latencies(report: dict[str, Any]) -> Table:
    table = Table("p50 / p99 in ms", *(f"{each} at a time" for each in report["latency_ms"]))
    for way in report["latency_ms"]["1"]:
        table.add_row(_NAMES[way], *(_shown(ways[way]) for ways in report["latency_ms"].values()))
    for each in report["filtered"]:
        table.add_row(f"filter that keeps {each['selectivity']:.1%}", _shown(each["ms"]))
    for name in ("ingest", "rebuild"):
        table.add_row(f"beside {name}", _shown(report[f"beside_{name}"]["loaded_ms"]))
    return table


def _shown(percentiles: dict[str, float]) -> str:
    return f"{percentiles['p50']:.2f} / {percentiles['p99']:.2f}"


def _targets(report: dict[str, Any]) -> Table:
    table = Table("", "measured", "target", "")
    for target in report["targets"]:
        sign, verdict = "at most" if target["is_most"] else "at least", "met" if target["met"] else "missed"
        table.add_row(target["name"], f"{target['value']:g}", f"{sign} {target['limit']:g}", verdict)
    return table
