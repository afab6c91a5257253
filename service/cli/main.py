"""The command tree."""

import typer

from service.cli.ask import ask
from service.cli.backup import backup, restore
from service.cli.bench.command import bench
from service.cli.calibrate.command import calibrate
from service.cli.collections import app as collections
from service.cli.content import app as content
from service.cli.doctor import doctor
from service.cli.documents import app as documents
from service.cli.eval.command import evaluate
from service.cli.health import health
from service.cli.index import app as index
from service.cli.ingest import ingest
from service.cli.jobs import app as jobs
from service.cli.keys import app as keys
from service.cli.llm import app as llm
from service.cli.migrate import migrate
from service.cli.plan import plan
from service.cli.search import search
from service.cli.serve import serve
from service.cli.up import up

app = typer.Typer(
    help="Quarry answers questions from your own documents, on your own node.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(up)
app.command()(ingest)
app.command()(ask)
app.command()(search)
app.command("eval")(evaluate)
app.command()(calibrate)
app.command()(doctor)
app.command()(health)
app.command()(backup)
app.command()(restore)
app.command()(migrate)
app.command()(plan)
app.add_typer(collections, name="collections")
app.add_typer(documents, name="documents")
app.add_typer(jobs, name="jobs")
app.add_typer(index, name="index")
app.add_typer(keys, name="keys")
app.add_typer(llm, name="llm")
app.add_typer(content, name="content")
app.add_typer(bench, name="bench")


def main() -> None:
    """Entry point of the console script."""
    app()
