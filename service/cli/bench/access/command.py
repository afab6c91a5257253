"""quarry bench access."""

from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from service.cli.console import err, out


def access(
    rounds: Annotated[int, typer.Option(help="Searches at each server.", min=10)] = 2000,
    refusals: Annotated[int, typer.Option(help="Refusals of each kind.", min=10)] = 1000,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What keys, limits, checks and problem replies add to a search, and how fast an overloaded server says no."""
    from service.cli.bench.access.run import run  # noqa: PLC0415  brings the server

    report = run(rounds, refusals, lambda text: err.print(text, markup=False))
    if json:
        typer.echo(orjson.dumps(report, option=orjson.OPT_NON_STR_KEYS).decode())
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    times = Table("", "p50 ms", "p99 ms")
    for name, said in report["search_ms"].items():
        times.add_row(f"search, {name}", f"{said['p50']:.3f}", f"{said['p99']:.3f}")
    times.add_row("idle /healthz", f"{report['idle_healthz_ms']['p50']:.3f}", f"{report['idle_healthz_ms']['p99']:.3f}")
    for status, said in report["refusal_ms"].items():
        times.add_row(f"a {status} under overload", f"{said['p50']:.3f}", f"{said['p99']:.3f}")
    out.print(times)
    costs = Table("added to a search", "p50 ms", "of ten parts of the run")
    for name, said in report["added_ms"].items():
        costs.add_row(name.replace("_", " "), f"{said['p50']:.3f}", f"{said['least']:.3f} to {said['most']:.3f}")
    out.print(costs)
    for target in report["targets"]:
        verdict = "met" if target["met"] else "missed"
        out.print(f"{target['name']}: {target['value']:g} (at most {target['limit']:g}: {verdict})")
