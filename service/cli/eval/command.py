"""quarry eval."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from service.cli.bench.server import ServerStartError
from service.cli.console import KeyOption, err, fail, say_json
from service.cli.eval.bootstrap import Bootstrap
from service.cli.eval.errors import EvalError
from service.cli.eval.extra import MATPLOTLIB, PYTREC_EVAL, require
from service.cli.eval.progress import bars
from service.cli.eval.request import Asking, Judging, Material, Request
from service.cli.eval.serving import GivenServer, OwnServer, Serving
from service.cli.eval.template import require_folder, write_page

if TYPE_CHECKING:
    from service.cli.eval.report import Report

Folders = Annotated[list[Path], typer.Argument(metavar="DIR...", help="In BEIR's layout, a collection each.")]
NameOption = Annotated[str | None, typer.Option(help="Name of the collection; by default the folder's.")]
ServerOption = Annotated[str | None, typer.Option(help="A running server; by default one is started for it.")]
ConfigOption = Annotated[Path | None, typer.Option(help="A TOML file of settings for the server that is started.")]
WayOption = Annotated[
    list[str] | None,
    typer.Option(help="default, dense, hybrid, hybrid:WEIGHT, lexical or rrf; may be repeated. [default: default]"),
]
TopKOption = Annotated[int, typer.Option(help="Chunks of a search.", min=10, max=1000)]
QueriesOption = Annotated[int | None, typer.Option(help="Most queries of a folder, drawn by the seed.", min=1)]
ForeignOption = Annotated[
    list[Path] | None, typer.Option(help="A folder whose queries should not be answered; may be repeated.")
]
LlmOption = Annotated[str, typer.Option(help="Generator of the answers.")]
NoAnswersOption = Annotated[bool, typer.Option("--no-answers", help="Measure searches alone.")]
NoIndexOption = Annotated[bool, typer.Option("--no-index", help="Do not compare IVF-PQ with exact search.")]
KeepOption = Annotated[bool, typer.Option("--keep", help="Allow other documents in the collection.")]
CompareOption = Annotated[Path | None, typer.Option(help="What --json printed earlier, to compare with.")]
TargetOption = Annotated[
    list[str] | None, typer.Option(help="[COLLECTION.][WAY.]METRIC=VALUE; exit code 1 if missed; may be repeated.")
]
BeatsOption = Annotated[
    list[str] | None,
    typer.Option(help="[COLLECTION.]WAY that the first is significantly better than, in nDCG@10; as --target."),
]
NotBelowOption = Annotated[
    list[str] | None, typer.Option(help="[COLLECTION.]WAY that the first is not significantly worse than; as --target.")
]
ConcurrencyOption = Annotated[int, typer.Option(help="Requests at a time.", min=1, max=64)]
SeedOption = Annotated[int, typer.Option(help="Of the resamples and of --queries.", min=0)]
ResamplesOption = Annotated[int, typer.Option(help="Of the bootstrap.", min=100, max=100_000)]
HtmlOption = Annotated[Path | None, typer.Option(help="Write a page with plots there.", dir_okay=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def evaluate(
    folders: Folders,
    collection: NameOption = None,
    url: ServerOption = None,
    key: KeyOption = None,
    config: ConfigOption = None,
    way: WayOption = None,
    top_k: TopKOption = 100,
    queries: QueriesOption = None,
    foreign: ForeignOption = None,
    llm: LlmOption = "extractive",
    no_answers: NoAnswersOption = False,
    no_index: NoIndexOption = False,
    keep: KeepOption = False,
    compare: CompareOption = None,
    target: TargetOption = None,
    beats: BeatsOption = None,
    not_below: NotBelowOption = None,
    concurrency: ConcurrencyOption = 1,
    seed: SeedOption = 0,
    resamples: ResamplesOption = 2000,
    html: HtmlOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how good searches and answers are, over the HTTP API."""
    if url is not None and config is not None:
        fail("--config is of the server that is started; --url names one that has its settings")
    require_folder(html)
    require(PYTREC_EVAL, *([] if html is None else [MATPLOTLIB]))
    request = Request(
        Material(folders, collection, foreign or [], queries),
        Asking(way or ["default"], top_k, concurrency, None if no_answers else llm, keep, not no_index),
        Judging(compare, target or [], beats or [], not_below or [], Bootstrap(seed, resamples)),
    )
    report = _measured(request, OwnServer.temporary(config) if url is None else nullcontext(GivenServer(url, key)))
    _tell(report, html, json=json)


def _measured(request: Request, opened: AbstractContextManager[Serving]) -> "Report":
    from service.cli.eval.run import run  # noqa: PLC0415  its libraries may not be installed

    try:
        with opened as serving:
            return run(request, serving, bars())
    except EvalError as error:
        fail(str(error), error.exit_code)
    except ServerStartError as error:
        fail(str(error))
    except httpx.TransportError as error:
        fail(f"the server cannot be reached: {error}")


def _tell(report: "Report", html: Path | None, *, json: bool) -> None:
    from service.cli.eval.tables import show  # noqa: PLC0415  as above

    if json:
        say_json(report.as_json())
    else:
        show(report)
    if html is not None:
        from service.cli.eval.page import page  # noqa: PLC0415  brings matplotlib

        write_page(html, page(report))
    if report.failures:
        err.print(f"{report.failures} questions failed", style="red")
    if report.failures or not report.met:
        raise typer.Exit(1)
