"""quarry bench."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.table import Table

from service.cli.bench.access.command import access
from service.cli.bench.answer.command import answer
from service.cli.bench.gpu_search.command import gpu_search
from service.cli.bench.ingest.command import ingest
from service.cli.bench.milvus.command import milvus
from service.cli.bench.search.command import search
from service.cli.bench.telemetry.command import telemetry
from service.cli.configuration import settings_or_fail
from service.cli.console import err, fail, out
from service.cli.interpreter import share_the_cores

bench = typer.Typer(help="Measure this machine: ratios and differences within one run.", no_args_is_help=True)
bench.command()(access)
bench.command()(answer)
bench.command()(ingest)
bench.command()(milvus)
bench.command()(search)
bench.command()(telemetry)
bench.command("gpu-search")(gpu_search)


@bench.command()
def query(
    corpus: Annotated[Path, typer.Option(help="JSONL of {_id, title, text}.", exists=True, dir_okay=False)],
    queries: Annotated[Path, typer.Option(help="JSONL of {text}.", exists=True, dir_okay=False)],
    rounds: Annotated[int, typer.Option(help="Passes over the queries.", min=1)] = 3,
    chunks: Annotated[
        int, typer.Option(help="At least about so many: further documents are drawn from the corpus.", min=0)
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What POST /v1/search adds to tokenise + forward + index search, and what words and quotes add to it."""
    share_the_cores()
    from service.cli.bench import query as query_bench  # noqa: PLC0415  brings torch, see serve

    report = query_bench.run(
        query_bench.Corpus(corpus, chunks), queries, rounds, lambda text: err.print(text, markup=False)
    )
    if json:
        typer.echo(orjson.dumps(report).decode())
    else:
        _print(report)


@bench.command()
def embed(
    corpus: Annotated[Path | None, typer.Option(help="Long texts: JSONL of {text}.", exists=True)] = None,
    queries: Annotated[Path | None, typer.Option(help="Short texts: JSONL of {text}.", exists=True)] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The embedding engine against the bare model. Without files the texts are made up."""
    share_the_cores()
    from service.cli.bench.embed import run as embed_bench  # noqa: PLC0415  brings torch, see serve
    from service.cli.bench.embed.texts import BenchTexts  # noqa: PLC0415

    if (corpus is None) != (queries is None):
        fail("--corpus and --queries go together")
    texts = BenchTexts.read(corpus, queries) if corpus and queries else BenchTexts.made_up()
    settings = settings_or_fail(config).embedding
    report = asyncio.run(embed_bench.run(settings, config, texts, lambda text: err.print(text, markup=False)))
    if json:
        typer.echo(orjson.dumps(report).decode())
    else:
        _print_targets(report)


@bench.command()
def shapes(
    shape: Annotated[list[str] | None, typer.Option(help="MiniLM-L6, BERT-base or BERT-large; all by default.")] = None,
    texts: Annotated[int, typer.Option(help="Texts of each kind.", min=1)] = 1024,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings.")] = None,
    out_file: Annotated[Path | None, typer.Option("--out", help="Write the table there too, as Markdown.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """The engine with encoders of well-known shapes and random weights."""
    share_the_cores()
    from models.synthetic import SHAPES  # noqa: PLC0415  brings torch, see serve
    from service.cli.bench.embed.shapes import as_json, as_markdown, measure_shapes  # noqa: PLC0415
    from service.cli.bench.embed.texts import BenchTexts  # noqa: PLC0415

    unknown = set(shape or ()) - set(SHAPES)
    if unknown:
        fail(f"--shape {', '.join(sorted(unknown))} is not known; there are {', '.join(SHAPES)}")
    chosen, made_up = [SHAPES[name] for name in shape or SHAPES], BenchTexts.made_up(texts)
    settings = settings_or_fail(config).embedding
    results = asyncio.run(measure_shapes(chosen, settings, made_up, lambda text: err.print(text, markup=False)))
    table = as_markdown(results)
    if out_file:
        out_file.write_text(table)
    typer.echo(orjson.dumps({"bench": "shapes", "results": as_json(results)}).decode() if json else table)


def _print_targets(report: dict[str, Any]) -> None:
    table = Table("", "measured", "target", "")
    for target in report["targets"]:
        sign, verdict = "at most" if target["is_most"] else "at least", "met" if target["met"] else "missed"
        table.add_row(target["name"], f"{target['value']:g}", f"{sign} {target['limit']:g}", verdict)
    out.print(f"{report['model']['name']} in {report['model']['dtype']} on {report['model']['device']}")
    out.print(table)


def _print(report: dict[str, Any]) -> None:
    out.print(f"{report['samples']} searches over {report['chunks']} chunks, {report['model']} in {report['dtype']}")
    out.print(f"over HTTP    p50 {report['http_ms']['p50']:.2f} ms  p99 {report['http_ms']['p99']:.2f} ms")
    out.print(f"direct work  p50 {report['direct_ms']['p50']:.2f} ms  p99 {report['direct_ms']['p99']:.2f} ms")
    for name, milliseconds in report["direct_parts_p50_ms"].items():
        out.print(f"    {name:<13} {milliseconds:.3f} ms")
    out.print(f"words add    p50 {report['hybrid_added_p50_ms']:.2f} ms")
    out.print(f"quotes       p50 {report['quotes_ms']['p50']:.2f} ms")
    other, verdict = report["other_ms"], "met" if report["other_met"] else "missed"
    out.print(f"no stage     p50 {other['p50']:.3f} ms  p95 {other['p95']:.3f} ms  (5 % or 1 ms: {verdict})")
    for name, what in (("added", "added"), ("extras", "words, quotes")):
        took, limit = report[f"{name}_p50_ms"], report[f"{name}_p50_limit_ms"]
        out.print(f"{what:<12} p50 {took:.2f} ms  (limit {limit} ms: {'met' if took <= limit else 'missed'})")
