"""quarry bench answer."""

from pathlib import Path
from typing import Annotated, Any

import httpx
import orjson
import typer
from rich.table import Table

from service.cli.bench.answer import run
from service.cli.bench.answer.kept_connection import FailedReplyError
from service.cli.bench.answer.material import Material, NoMaterialError
from service.cli.bench.server import ServerStartError
from service.cli.console import err, fail, out

_ROWS = {
    "ttft_ms": "first text, streamed",
    "llm_ttft_ms": "first text, the model's server alone",
    "own_ttft_ms": "Quarry's own share of it",
    "total_ms": "whole JSON reply",
    "llm_total_ms": "whole answer, the model's server alone",
    "own_total_ms": "Quarry's own share of it",
}


def answer(
    corpus: Annotated[Path | None, typer.Option(help="Documents: a folder, or JSONL of {text}.", exists=True)] = None,
    queries: Annotated[Path | None, typer.Option(help="Questions: JSONL of {text}.", exists=True)] = None,
    llm_url: Annotated[str | None, typer.Option(help="A running model server; by default a fake one.")] = None,
    rounds: Annotated[int, typer.Option(help="Passes over the questions.", min=1)] = 5,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What an answer costs beside the forward, the search and the language model, at concurrency 1."""
    if (corpus is None) != (queries is None):
        fail("--corpus and --queries go together")
    try:
        material = Material.read(corpus, queries) if corpus and queries else Material.of_the_project()
        report = run.run(material, llm_url, rounds, lambda text: err.print(text, markup=False))
    except (NoMaterialError, ServerStartError, FailedReplyError, httpx.HTTPError) as error:
        fail(str(error))
    if json:
        typer.echo(orjson.dumps(report).decode())
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    kind = "a fake model server" if report["llm"]["is_fake"] else report["llm"]["model"]
    out.print(f"{report['samples']} questions, {report['prompt_tokens_p50']:.0f} tokens of prompt, through {kind}")
    table = Table("", "p50 ms", "p99 ms")
    for name, label in _ROWS.items():
        table.add_row(label, f"{report[name]['p50']:.2f}", f"{report[name]['p99']:.2f}")
    for stage, took in report["streamed_stages_ms"].items():
        table.add_row(f"    streamed: {stage}", f"{took['p50']:.2f}", f"{took['p99']:.2f}")
    out.print(table)
    out.print(f"the server's processor for a token: {report['token_event']}", highlight=False)
    for target in report["targets"]:
        verdict = "met" if target["met"] else "missed"
        out.print(f"{target['name']} {target['value']:.2f} ms (at most {target['limit']:g} ms: {verdict})")
