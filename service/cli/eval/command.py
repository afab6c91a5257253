"""quarry eval."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service.cli.bench.server import ServerStartError
from service.cli.console import KeyOption, err, fail, say_json
from service.cli.eval.errors import EvalError
from service.cli.eval.serving import GivenServer, OwnServer, Serving

if TYPE_CHECKING:
    from service.cli.eval.report import Report

_LIBRARIES = {"pytrec_eval", "matplotlib"}


def evaluate(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="In BEIR's layout, a collection each.")],
    collection: Annotated[str | None, typer.Option(help="Name of the collection; by default the folder's.")] = None,
    url: Annotated[str | None, typer.Option(help="A running server; by default one is started for it.")] = None,
    key: KeyOption = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings for the server that is started.")] = None,
    way: Annotated[
        list[str] | None,
        typer.Option(help="default, dense, hybrid, hybrid:WEIGHT or lexical; may be repeated. [default: default]"),
    ] = None,
    top_k: Annotated[int, typer.Option(help="Chunks of a search.", min=10, max=1000)] = 100,
    queries: Annotated[int | None, typer.Option(help="Most queries of a folder, drawn by the seed.", min=1)] = None,
    foreign: Annotated[
        list[Path] | None, typer.Option(help="A folder whose queries should not be answered; may be repeated.")
    ] = None,
    llm: Annotated[str, typer.Option(help="Generator of the answers.")] = "extractive",
    no_answers: Annotated[bool, typer.Option("--no-answers", help="Measure searches alone.")] = False,
    no_index: Annotated[bool, typer.Option("--no-index", help="Do not compare IVF-PQ with exact search.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep documents that the collection has besides.")] = False,
    compare: Annotated[Path | None, typer.Option(help="What --json printed earlier, to compare with.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="[COLLECTION.][WAY.]METRIC=VALUE; exit code 1 if missed; may be repeated.")
    ] = None,
    concurrency: Annotated[int, typer.Option(help="Requests at a time.", min=1, max=64)] = 1,
    seed: Annotated[int, typer.Option(help="Of the resamples and of --queries.", min=0)] = 0,
    resamples: Annotated[int, typer.Option(help="Of the bootstrap.", min=100, max=100_000)] = 2000,
    html: Annotated[Path | None, typer.Option(help="Write a page with plots there.", dir_okay=False)] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure how good searches and answers are, over the HTTP API."""
    if url is not None and config is not None:
        fail("--config is of the server that is started; --url names one that has its settings")
    if html is not None and not html.parent.is_dir():
        fail(f"--html {html}: no such folder")
    _require_libraries(html)
    from service.cli.eval.run import Request, run  # noqa: PLC0415  may not be installed

    request = Request(
        folders=folders,
        collection=collection,
        ways=way or ["default"],
        foreign=foreign or [],
        top_k=top_k,
        queries=queries,
        concurrency=concurrency,
        llm=None if no_answers else llm,
        keep=keep,
        compare_index=not no_index,
        compare=compare,
        targets=target or [],
        seed=seed,
        resamples=resamples,
    )
    try:
        with _serving(url, key, config) as serving:
            report = run(request, serving, _watch())
    except (EvalError, ServerStartError) as error:
        fail(str(error))
    except httpx.TransportError as error:
        fail(f"{url or 'the server'} cannot be reached: {error}")
    _tell(report, html, json=json)


def _require_libraries(html: Path | None) -> None:
    """They come with an extra, as a server needs none of them."""
    try:
        import pytrec_eval  # noqa: F401, PLC0415

        if html is not None:
            import matplotlib as mpl  # noqa: F401, PLC0415
    except ModuleNotFoundError as error:
        if error.name not in _LIBRARIES:
            raise
        fail(f"{error.name} is not installed; pip install 'quarry[eval]' brings it")


def _serving(url: str | None, key: str | None, config: Path | None) -> AbstractContextManager[Serving]:
    return OwnServer.temporary(config) if url is None else nullcontext(GivenServer(url, key))


def _watch() -> Callable[[str, int | None], AbstractContextManager[Callable[[], None]]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())

    @contextmanager
    def watched(what: str, total: int | None) -> Iterator[Callable[[], None]]:
        with Progress(*columns, console=err) as progress:
            bar = progress.add_task(what, total=total)
            yield lambda: progress.advance(bar)

    return watched


def _tell(report: "Report", html: Path | None, *, json: bool) -> None:
    from service.cli.eval.tables import show  # noqa: PLC0415

    if html is not None:
        from service.cli.eval.page import page  # noqa: PLC0415  brings matplotlib

        html.write_text(page(report), encoding="utf-8")
    if json:
        say_json(report.as_json())
    else:
        show(report)
    if report.failures:
        err.print(f"{report.failures} questions failed", style="red")
    if report.failures or not report.met:
        raise typer.Exit(1)
