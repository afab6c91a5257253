"""quarry bench."""

import typer

bench = typer.Typer(help="Measure this machine.", no_args_is_help=True)


@bench.callback()
def _group() -> None:
    """Measure this machine."""
