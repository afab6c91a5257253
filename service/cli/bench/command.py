"""quarry bench."""

from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from service.cli.console import err, out

bench = typer.Typer(help="Measure this machine: ratios and differences within one run.", no_args_is_help=True)


@bench.callback()
def _group() -> None:
    """Keeps ``bench`` a group although it has one command."""


@bench.command()
def query(
    corpus: Annotated[Path, typer.Option(help="JSONL of {_id, title, text}.", exists=True, dir_okay=False)],
    queries: Annotated[Path, typer.Option(help="JSONL of {text}.", exists=True, dir_okay=False)],
    rounds: Annotated[int, typer.Option(help="Passes over the queries.", min=1)] = 3,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What POST /v1/search adds to tokenise + forward + index search, at concurrency 1."""
    from service.cli.bench import query as query_bench  # noqa: PLC0415  brings torch, see serve

    report = query_bench.run(corpus, queries, rounds, lambda text: err.print(text, markup=False))
    if json:
        typer.echo(orjson.dumps(report).decode())
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    out.print(f"{report['samples']} searches over {report['chunks']} chunks, {report['model']} in {report['dtype']}")
    out.print(f"over HTTP    p50 {report['http_ms']['p50']:.2f} ms  p99 {report['http_ms']['p99']:.2f} ms")
    out.print(f"direct work  p50 {report['direct_ms']['p50']:.2f} ms  p99 {report['direct_ms']['p99']:.2f} ms")
    for name, milliseconds in report["direct_parts_p50_ms"].items():
        out.print(f"    {name:<13} {milliseconds:.3f} ms")
    verdict = "met" if report["met"] else "missed"
    out.print(f"added        p50 {report['added_p50_ms']:.2f} ms  (limit {report['added_p50_limit_ms']} ms: {verdict})")
