"""quarry bench milvus."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import orjson
import typer

from service.cli.configuration import settings_or_fail
from service.cli.console import fail, out
from service.cli.interpreter import share_the_cores
from service.errors import ExtraMissingError


def milvus(
    rows: Annotated[int, typer.Option(help="Rows of the collection.", min=100)] = 10_000,
    dim: Annotated[int, typer.Option(help="Length of a vector.", min=8)] = 384,
    samples: Annotated[int, typer.Option(help="Pairs of searches.", min=40)] = 400,
    top_k: Annotated[int, typer.Option(help="Hits of each.", min=1, max=100)] = 10,
    seed: Annotated[int, typer.Option(help="Of the vectors.")] = 0,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings, with index.milvus.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """A search of a collection on the Milvus that settings name, and the bare call of its client, in turn."""
    share_the_cores()
    import numpy as np  # noqa: PLC0415  see serve

    from indexes.errors import IndexesError  # noqa: PLC0415
    from service.cli.bench.milvus.run import TARGET_MS, WARM_UP, run  # noqa: PLC0415  brings FAISS
    from service.milvus_server import milvus_server  # noqa: PLC0415

    try:
        server = milvus_server(settings_or_fail(config).index.milvus)
    except ExtraMissingError as error:
        fail(str(error))
    if server is None:
        fail("index.milvus.url is not set: QUARRY_INDEX__MILVUS__URL or a file given by --config names Milvus")
    vectors = np.random.default_rng(seed).normal(size=(rows + samples + WARM_UP, dim)).astype(np.float32)
    try:
        with closing(server):
            report = run(server, vectors, samples, top_k)
    except IndexesError as error:
        fail(str(error))
    if json:
        typer.echo(orjson.dumps(report).decode())
        return
    client, whole, verdict = report["client_ms"], report["collection_ms"], "met" if report["met"] else "missed"
    out.print(f"{samples} pairs over {rows} rows of {dim} dimensions, {report['index']}")
    out.print(f"the client alone  p50 {client['p50']:.2f} ms  p99 {client['p99']:.2f} ms")
    out.print(f"the collection    p50 {whole['p50']:.2f} ms  p99 {whole['p99']:.2f} ms")
    out.print(f"it adds           p50 {report['added_p50_ms']:.2f} ms  (at most {TARGET_MS:g}: {verdict})")
    out.print(f"of its own        p50 {report['own_p50_ms']:.2f} ms, outside of the call that it makes")
