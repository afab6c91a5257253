"""quarry bench search."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from service.cli.console import err, fail
from service.cli.interpreter import share_the_cores

if TYPE_CHECKING:
    from service.cli.bench.search.vectors import SearchVectors

_CACHE = Path("~/.cache/quarry")


def search(
    rows: Annotated[int, typer.Option(help="Rows of the collection.", min=2000)] = 200_000,
    dim: Annotated[int, typer.Option(help="Length of a vector; other than 384 needs --synthetic.", min=8)] = 384,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="Random clusters in place of real text.")] = False,
    samples: Annotated[int, typer.Option(help="Searches behind each percentile.", min=40)] = 1000,
    cache: Annotated[Path, typer.Option(help="Where vectors are kept.", file_okay=False)] = _CACHE,
    leaks: Annotated[int | None, typer.Option(help="Only look for leaks, with so many random filters.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the random filters.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """A collection of MiniLM vectors of real text, beside FAISS alone and beside an exact scan."""
    share_the_cores()
    from service.cli.bench.search import run, tables  # noqa: PLC0415  brings FAISS

    def say(text: str) -> None:
        err.print(text, markup=False)

    vectors = _vectors(rows, dim, synthetic, cache.expanduser(), say)
    if leaks:
        report, show = run.look_for_leaks(vectors, leaks, seed, say), tables.show_leaks
    else:
        report, show = run.run(vectors, samples, say), tables.show
    if json:
        typer.echo(orjson.dumps(report).decode())
    else:
        show(report)
    if leaks and not report["met"]:
        raise typer.Exit(1)


def _vectors(rows: int, dim: int, synthetic: bool, cache: Path, say: Callable[[str], None]) -> "SearchVectors":
    from service.cli.bench.search.documentation import TooFewTextsError  # noqa: PLC0415
    from service.cli.bench.search.vectors import DIMENSION, made_up, of_documentation  # noqa: PLC0415

    if synthetic:
        return made_up(rows, dim)
    if dim != DIMENSION:
        fail(f"--dim {dim} needs --synthetic: the vectors of text have {DIMENSION} dimensions")
    try:
        return of_documentation(rows, cache, say)
    except TooFewTextsError as error:
        fail(f"--rows {rows}: {error}; --synthetic has any number")
