"""quarry bench ingest."""

from pathlib import Path
from typing import Annotated, Any

import httpx
import orjson
import typer
from rich.table import Table

from service.cli.bench.ingest import corpus as pages_of
from service.cli.bench.ingest import run
from service.cli.bench.ingest.upload import RefusedDocumentError
from service.cli.bench.server import ServerStartError
from service.cli.console import err, fail, out

_ROWS = {
    "busy_share": ("embedder busy", ".1%"),
    "full_share": ("full forwards", ".1%"),
    "padding_share": ("padding", ".1%"),
    "documents_per_s": ("documents/s", ",.1f"),
    "tokens_per_s": ("tokens/s", ",.0f"),
    "seconds": ("seconds", ",.1f"),
}
_Failure = (
    pages_of.NoDocumentsError,
    UnicodeDecodeError,
    ServerStartError,
    RefusedDocumentError,
    run.UncountedDocumentsError,
    httpx.HTTPError,
)


def ingest(
    corpus: Annotated[
        Path | None, typer.Option(help="A folder of Markdown and plain text.", exists=True, file_okay=False)
    ] = None,
    documents: Annotated[int, typer.Option(help="How many, made of the project's own without --corpus.", min=1)] = 400,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """How busy ingest keeps the embedder: as files, as JSON bodies and as NDJSON."""
    try:
        pages = pages_of.read(corpus) if corpus else pages_of.of_the_project(documents)
        report = run.run(pages, config, lambda text: err.print(text, markup=False))
    except _Failure as error:
        fail(str(error))
    if json:
        typer.echo(orjson.dumps(report).decode())
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    ways = report["ways"]
    count = next(iter(ways.values()))["documents"]
    out.print(f"{count} documents, {report['model']} in {report['dtype']}")
    table = Table("", *ways)
    for name, (label, style) in _ROWS.items():
        table.add_row(label, *(format(figures[name], style) for figures in ways.values()))
    out.print(table)
    for target in report["targets"]:
        verdict = "met" if target["met"] else "missed"
        out.print(f"{target['name']} {target['value']:.1%} (at least {target['limit']:.0%}: {verdict})")
