"""quarry up."""

from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.configuration import settings_or_fail
from service.cli.console import fail
from service.telemetry.logs import configure_logging
from service.up.durations import Durations
from service.up.errors import UpError
from service.up.parent import run_parent, serve_command


def up(
    host: Annotated[str | None, typer.Option(help="Address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. [default: 8080]")] = None,
    metrics_port: Annotated[
        int | None, typer.Option(help="Port of /metrics alone; 0 takes a free one. [default: the API's]")
    ] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where documents are kept. [default: quarry-data]")] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
) -> None:
    """Serve the HTTP API and the managed language model, and keep both alive."""
    server = {"host": host, "port": port, "metrics_port": metrics_port}
    flags: dict[str, Any] = {"server": {name: value for name, value in server.items() if value is not None}}
    if data_dir is not None:
        flags["data_dir"] = data_dir
    settings = settings_or_fail(config, flags)
    configure_logging(settings.server.log_level)
    ports = {"--port": port, "--metrics-port": metrics_port}
    given = {"--host": host, **ports, "--data-dir": data_dir, "--config": config}
    arguments = [word for flag, value in given.items() if value is not None for word in (flag, str(value))]
    try:
        run_parent(settings, serve_command(arguments), Durations())
    except UpError as error:
        fail(str(error))
