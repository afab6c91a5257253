"""quarry doctor."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.table import Table
from rich.text import Text

from service.cli.configuration import settings_or_fail
from service.cli.console import KeyOption, out
from service.cli.interpreter import share_the_cores

if TYPE_CHECKING:
    from service.doctor.examination import Examination

_COLOURS = {"warning": "yellow", "failure": "red"}


def doctor(
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where documents are kept. [default: quarry-data]")] = None,
    url: Annotated[str | None, typer.Option(help="The server, if one runs. [default: as the settings have it]")] = None,
    key: KeyOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was found as one JSON object.")] = False,
) -> None:
    """Look for what keeps a server of these settings from running well; exit code 1 when something has failed."""
    flags: dict[str, Any] = {} if data_dir is None else {"data_dir": data_dir}
    settings = settings_or_fail(config, flags)
    share_the_cores()
    from service.doctor.examination import examine  # noqa: PLC0415  brings torch

    found = examine(settings, url, key)
    if json:
        findings = [asdict(finding) for finding in found.findings]
        typer.echo(orjson.dumps({"ok": found.is_well, "checks": findings}).decode())
    else:
        _print(found)
    if not found.is_well:
        raise typer.Exit(1)


def _print(found: "Examination") -> None:
    table = Table(show_edge=False)
    for heading in ("check", "state", "found", "what to do"):
        table.add_column(heading, overflow="fold")
    for finding in found.findings:
        status = finding.status.value
        cells = (finding.name, status, finding.found, finding.advice)
        table.add_row(*map(Text, cells), style=None if status == "ok" else _COLOURS[status])
    out.print(table)
