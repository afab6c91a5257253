"""A plan for people, and for programs."""

import shlex
from typing import Any

from rich import box
from rich.table import Table

from service.capacity.card_index import CardIndex
from service.capacity.ledger import CardLedger
from service.capacity.plan import Plan, ServedModel
from service.capacity.size import shown
from service.cli.console import out
from service.up.vllm_command import vllm_command

_NOTE = (
    "Estimates are marked, with where they come from. CUDA contexts, CUDA graphs and collectives are assumptions "
    "that were not measured; docs/capacity.md has the formulas."
)


def print_plan(plan: Plan, changes: list[str]) -> None:
    """The ledger of every card, the verdict, and the commands; or what to change."""
    for card in plan.cards:
        out.print(_table(card), soft_wrap=False)
    for model in plan.served:
        out.print(_told(model), markup=False)
    if plan.index is not None:
        out.print(f"Of the machine's own memory the index takes {shown(plan.index.host_bytes)}.", markup=False)
    out.print(_NOTE, style="dim", markup=False)
    out.print("It fits." if plan.fits else "It does not fit.", style="green" if plan.fits else "red")
    if plan.fits:
        for line in _commands(plan):
            out.print(f"  {line}", markup=False)
        return
    said = "Any of these would make it fit:" if changes else "No change of context, precision, rows or cards was found."
    out.print(said)
    for change in changes:
        out.print(f"  - {change}", markup=False)


def as_json(plan: Plan, changes: list[str]) -> dict[str, Any]:
    """The same in one object; sizes are bytes."""
    return {
        "fits": plan.fits,
        "card_bytes": plan.node.card_bytes,
        "cards": [_card(card) for card in plan.cards],
        "index": _index(plan.index) if plan.index else None,
        "llms": [_model(model) for model in plan.served],
        "settings": _settings(plan),
        "changes": changes,
        "note": _NOTE,
    }


def _index(index: CardIndex) -> dict[str, Any]:
    return {
        "rows": index.rows,
        "dimension": index.dimension,
        "backend": index.served.backend,
        "refine": index.served.refine,
        "device_bytes": index.device_bytes,
        "host_bytes": index.host_bytes,
    }


def _table(card: CardLedger) -> Table:
    table = Table(title=f"cuda:{card.device}, {shown(card.card_bytes)}", box=box.SIMPLE, title_justify="left")
    table.add_column("component", no_wrap=True)
    table.add_column("of", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("known", no_wrap=True)
    table.add_column("how", overflow="fold")
    for line in sorted(card.lines, key=lambda line: not line.tenant):
        known = "exact" if line.amount.is_exact else "estimate"
        table.add_row(line.component, line.tenant, shown(line.amount.bytes), known, line.amount.why)
    table.add_section()
    left = card.left_bytes
    table.add_row("total", "", shown(card.total_bytes), "", "")
    table.add_row("left" if left >= 0 else "missing", "", shown(abs(left)), "", "")
    return table


def _told(model: ServedModel) -> str:
    cards = ", ".join(f"cuda:{device}" for device in model.devices)
    wanted = model.server.sequences
    fewer = "" if model.sequences >= wanted else f"; {wanted} may run, and have room while they are shorter"
    return (
        f"{model.server.name} on {cards}: {model.tokens:,} tokens of KV cache, which are {model.sequences} sequences "
        f"of {model.server.context:,} tokens at once{fewer}."
    )


def _model(model: ServedModel) -> dict[str, Any]:
    server, cache = model.server, model.kv_cache
    return {
        "name": server.name,
        "devices": list(model.devices),
        "parameters": server.model.parameters,
        "context": server.context,
        "kv_token_bytes": cache.token_bytes,
        "kv_block_tokens": cache.block_tokens,
        "kv_cache_bytes": model.kv_bytes,
        "kv_tokens": model.tokens,
        "sequences": model.sequences,
        "max_num_seqs": server.sequences,
        "gpu_memory_utilization": model.allotment.gpu_memory_utilization,
        "command": _words(model),
    }


def _card(card: CardLedger) -> dict[str, Any]:
    return {
        "device": card.device,
        "lines": [
            {
                "component": line.component,
                "tenant": line.tenant,
                "bytes": line.amount.bytes,
                "exact": line.amount.is_exact,
                "how": line.amount.why,
            }
            for line in card.lines
        ],
        "total_bytes": card.total_bytes,
        "left_bytes": card.left_bytes,
    }


def _commands(plan: Plan) -> list[str]:
    """What to start, as a shell takes it, with the cards that each process may use."""
    variables = [f"QUARRY_{name.replace('.', '__').upper()}={value}" for name, value in _settings(plan).items()]
    servers = [
        f"CUDA_VISIBLE_DEVICES={','.join(map(str, model.devices))} {shlex.join(_words(model))}" for model in plan.served
    ]
    return [" ".join([*variables, "quarry serve"]), *servers]


def _words(model: ServedModel) -> list[str]:
    return vllm_command(model.settings, model.server.url, model.allotment)


def _settings(plan: Plan) -> dict[str, str | int]:
    """What ``quarry serve`` has to be told for the plan to come true."""
    devices, told = plan.placement.retrieval, dict[str, str | int]()
    if devices.embedder is not None:
        told["embedding.device"] = f"cuda:{devices.embedder}"
    if devices.index is not None:
        told["index.device"] = f"cuda:{devices.index}"
    if plan.index is not None:
        told["index.device_bytes"] = plan.index.device_bytes
    return told
