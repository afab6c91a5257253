"""quarry bench gpu-search."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from service.cli.console import err, fail
from service.cli.interpreter import share_the_cores


def gpu_search(
    rows: Annotated[list[int] | None, typer.Option(help="Rows; 1 and 10 million by default.", min=2000)] = None,
    dim: Annotated[int, typer.Option(help="Length of a vector.", min=8)] = 384,
    device: Annotated[str, typer.Option(help="cuda:0, cpu, or auto.")] = "auto",
    repetitions: Annotated[int, typer.Option(help="Searches behind each median.", min=3)] = 100,
    out_file: Annotated[Path | None, typer.Option("--out", help="Write the table there too, as Markdown.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """An exact scan and IVF-PQ on a GPU, over made-up vectors, beside the bandwidth of its memory."""
    share_the_cores()
    from indexes.errors import DeviceError  # noqa: PLC0415  brings FAISS
    from indexes.gpu_probe import capabilities, choose_device  # noqa: PLC0415
    from service.cli.bench.gpu_search.run import measure  # noqa: PLC0415  brings torch

    try:
        chosen = choose_device(device, capabilities())
    except DeviceError as error:
        fail(str(error))
    report = measure(
        rows or [1_000_000, 10_000_000], dim, chosen, repetitions, lambda text: err.print(text, markup=False)
    )
    table = report.as_markdown()
    if out_file:
        out_file.write_text(table)
    typer.echo(orjson.dumps(report.as_json()).decode() if json else table)
