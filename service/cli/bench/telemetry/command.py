"""quarry bench telemetry."""

from typing import Annotated

import orjson
import typer

from service.cli.console import err, out


def telemetry(
    pairs: Annotated[int, typer.Option(help="Pairs of blocks, one at each server.", min=2)] = 40,
    searches: Annotated[int, typer.Option(help="Searches of a block.", min=4)] = 200,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What metrics and the log of requests cost: the throughput of searches with them over that without."""
    from service.cli.bench.telemetry.run import run  # noqa: PLC0415  brings the server

    report = run(pairs, searches, lambda text: err.print(text, markup=False))
    if json:
        typer.echo(orjson.dumps(report).decode())
        return
    ratio, limit = report["ratio"], report["cost_limit"]
    verdict = "met" if report["met"] else "missed"
    out.print(f"searches a second: {report['throughput']}")
    out.print(f"with over without: {ratio['value']:.4f} ({ratio['low']:.4f} to {ratio['high']:.4f})")
    out.print(f"telemetry costs {report['cost']:.2%} (at most {limit:.0%}: {verdict})")
