"""quarry plan."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from service.capacity.advice import advice
from service.capacity.errors import CapacityError
from service.capacity.plan import Plan, best_plan
from service.cli.console import fail
from service.cli.plan_input import CONTEXT, SEQUENCES, ModelInput, PlanInput
from service.cli.plan_report import as_json, print_plan

_DOES_NOT_FIT = 2

MemoryOption = Annotated[str, typer.Option(help="Memory of each card, such as 141GiB or 80GB.", show_default=False)]
CardsOption = Annotated[str, typer.Option(help="Cards of that size.")]
RowsOption = Annotated[str | None, typer.Option(help="Chunks in the index, such as 10e6. [default: no index]")]
DimOption = Annotated[str | None, typer.Option(help="Length of the vectors. [default: the embedder's]")]
RefineOption = Annotated[str, typer.Option(help="Where the index's exact vectors lie: auto, card or host.")]
LlmOption = Annotated[list[Path] | None, typer.Option(help="A model's folder or config.json; may be repeated.")]
ContextOption = Annotated[
    str | None, typer.Option(help=f"Tokens of prompt and answer. [default: {CONTEXT}, or what the model was made for]")
]
SequencesOption = Annotated[str | None, typer.Option(help=f"Sequences that run at once. [default: {SEQUENCES}]")]
DtypeOption = Annotated[
    str | None, typer.Option(help="Of the weights: auto, bfloat16, float16 or float32. [default: auto]")
]
KvDtypeOption = Annotated[str | None, typer.Option(help="Of the KV cache: auto, bfloat16 or fp8. [default: auto]")]
QuantizationOption = Annotated[str | None, typer.Option(help="fp8: vLLM quantises the weights as it loads them.")]
WeightsOption = Annotated[str | None, typer.Option(help="What the weights take, where neither formula nor files say.")]
EmbedderOption = Annotated[
    str | None, typer.Option(help="The embedder's folder, config.json or name. [default: all-MiniLM-L6-v2]")
]
ConfigOption = Annotated[Path | None, typer.Option(help="Plan what this TOML file of settings describes.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the plan as one JSON object.")]


def plan(
    gpu_memory: MemoryOption = "",
    gpus: CardsOption = "1",
    rows: RowsOption = None,
    dim: DimOption = None,
    refine: RefineOption = "auto",
    llm: LlmOption = None,
    context: ContextOption = None,
    max_num_seqs: SequencesOption = None,
    dtype: DtypeOption = None,
    kv_dtype: KvDtypeOption = None,
    quantization: QuantizationOption = None,
    weights_bytes: WeightsOption = None,
    embedder: EmbedderOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say whether embedder, index and language models fit on the cards. The exit code is 0 if they do, 2 if not."""
    models = ModelInput(tuple(llm or ()), context, max_num_seqs, dtype, kv_dtype, quantization, weights_bytes, embedder)
    chosen, changes = _planned(PlanInput(gpu_memory, gpus, rows, dim, refine, models, config))
    if json:
        typer.echo(orjson.dumps(as_json(chosen, changes)).decode())
    else:
        print_plan(chosen, changes)
    if not chosen.fits:
        raise typer.Exit(_DOES_NOT_FIT)


def _planned(given: PlanInput) -> tuple[Plan, list[str]]:
    """The plan, and what would make it fit where it does not."""
    try:
        chosen = best_plan(given.node())
        return chosen, [] if chosen.fits else advice(chosen)
    except CapacityError as error:
        fail(str(error))
