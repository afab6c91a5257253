"""python -m loadtests."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer

from loadtests import budgets as budgets_file
from loadtests.budgets import Budgets, BudgetsError
from loadtests.corpus import Corpus, CorpusError, of_file
from loadtests.driver import Driver, DriverError, Load, Server
from loadtests.load_test import LoadTest, NoCapacityError, Request
from loadtests.options import Options
from loadtests.own_server import own_server
from loadtests.page import page
from loadtests.plan import KEY_VARIABLE, Material
from loadtests.profile import Profile
from loadtests.report import Report
from loadtests.route import MIXES
from loadtests.untold import UntoldError, require_told
from service.cli.bench.search.documentation import TooFewTextsError
from service.cli.bench.server import ServerStartError
from service.cli.console import err, fail

_BROKEN, _FAILED = 1, 2
_FAILURES = (BudgetsError, CorpusError, DriverError, NoCapacityError, ServerStartError, TooFewTextsError, UntoldError)


app = typer.Typer(add_completion=False)


@app.command()
def main(  # noqa: PLR0913, PLR0917  an option is a parameter
    profile: Annotated[Profile, typer.Option(help="What is offered.")] = Profile.STEADY,
    url: Annotated[str | None, typer.Option(help="A server that runs; without it, one is started.")] = None,
    key: Annotated[str | None, typer.Option(envvar=KEY_VARIABLE, help="Its API key.")] = None,
    pid: Annotated[int | None, typer.Option(help="Its process, where that runs on this machine.")] = None,
    metrics_url: Annotated[str | None, typer.Option(help="Of its metrics, where not at /metrics of --url.")] = None,
    collection: Annotated[str, typer.Option(help="Collection to load.")] = "loadtest",
    questions: Annotated[
        Path | None,
        typer.Option(help="Questions to a collection that is there, a line each; else a corpus is put and asked."),
    ] = None,
    mix: Annotated[str, typer.Option(help=f"What is asked: {', '.join(MIXES)}.")] = "mix",
    rate: Annotated[
        float | None, typer.Option(help="First rate, arrivals a second; else the capacity is looked for.", min=0.01)
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="Of the main phase.", min=1)] = None,
    places: Annotated[int, typer.Option(help="Requests under way at once.", min=1)] = 1024,
    seed: Annotated[int, typer.Option(help="Of the arrivals.", min=0)] = 1,
    budgets: Annotated[Path, typer.Option(help="What it is held to.")] = budgets_file.DEFAULT,
    out: Annotated[Path, typer.Option(help="Folder of the report and the raw samples.")] = Path("loadtest-report"),
) -> None:
    """Load a server and hold it to its budgets. Exits with 0 if they are kept, 1 if one is broken, 2 on failure."""
    for why in Options(profile, mix, url, metrics_url, pid, questions, rate, seconds).wrong():
        fail(why, _FAILED)
    try:
        held_to = Budgets.read(budgets)
        _prepare(out)
        named = Server(url.rstrip("/"), key and key.strip(), pid, metrics_url) if url else None
        with _material(questions) as (material, corpus), _server(named, out) as server:
            if corpus:
                _say(f"putting {len(corpus.documents)} documents into {collection}")
                corpus.put(server.url, server.headers, collection)
            load = Load(collection, mix, material, places, out.resolve())
            report = _report(Request(profile, seed, rate, seconds), Driver(server, load, held_to), held_to, mix, url)
    except _FAILURES as error:
        fail(str(error), _FAILED)
    _write(report, out)
    _say(f"report: {out / 'report.html'}")
    typer.echo(str(report.verdict))
    raise typer.Exit(0 if report.verdict.passed else _BROKEN)


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"--out {out}: {error.strerror}", _FAILED)
    if not os.access(out, os.W_OK):
        fail(f"--out {out}: may not be written", _FAILED)


def _report(request: Request, driver: Driver, budgets: Budgets, mix: str, url: str | None) -> Report:
    require_told(budgets.profiles[request.profile], request, driver.reading())
    test = LoadTest(driver, budgets, _say)
    measured = test.run(request)
    driver.keep(measured.run)
    figures, verdict = test.verdict(measured)
    return Report(request, mix, url, measured, figures, verdict, budgets)


@contextmanager
def _material(questions: Path | None) -> Iterator[tuple[Material, Corpus | None]]:
    if questions is not None:
        yield of_file(questions), None
        return
    corpus = Corpus.of_the_library()
    yield corpus.material, corpus


@contextmanager
def _server(named: Server | None, out: Path) -> Iterator[Server]:
    if named is not None:
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="quarry-load-") as folder:
        _say("starting quarry serve and the fake vLLM")
        with own_server(Path(folder), out) as server:
            yield server


def _write(report: Report, out: Path) -> None:
    (out / "report.json").write_bytes(orjson.dumps(report.as_json(), option=orjson.OPT_INDENT_2))
    (out / "report.html").write_text(page(report), encoding="utf-8")


def _say(text: str) -> None:
    err.print(text, markup=False)


if __name__ == "__main__":
    app()
