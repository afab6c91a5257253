"""A plan for people, and for programs."""

import shlex
from typing import Any

import orjson
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
        _print_commands(plan)
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
        "configuration": "\n".join(configuration(plan)),
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
    fewer = "" if model.sequences >= wanted else ", which have room while they are shorter"
    return (
        f"{model.server.name} on {cards}: {model.tokens:,} tokens of KV cache, with room for {model.sequences} "
        f"sequences of {model.server.context:,} tokens at once; --max-num-seqs lets {wanted} run{fewer}."
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
        "sequences": model.at_once,
        "sequences_with_room": model.sequences,
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


def _print_commands(plan: Plan) -> None:
    if plan.served:
        out.print("As a file of settings:")
        for line in configuration(plan):
            out.print(f"  {line}", markup=False, soft_wrap=True)
    if len(plan.served) == 1:
        out.print("`quarry up --config FILE` runs it all; by hand these do:", markup=False)
    for line in _commands(plan):
        out.print(f"  {line}", markup=False, soft_wrap=True)


def configuration(plan: Plan) -> list[str]:
    """The plan as TOML: one language model is managed by `quarry up`; several listen where their commands say."""
    lines = []
    for name, value in _settings(plan).items():
        section, _, key = name.partition(".")
        lines += [] if f"[{section}]" in lines else [f"[{section}]"]
        lines.append(f"{key} = {_toml(value)}")
    for number, model in enumerate(plan.served, start=1):
        name = "llm.main" if len(plan.served) == 1 else f"llm.model{number}"
        lines += [f"[{name}]", f"model = {_toml(model.server.name)}", f"context = {model.server.context}"]
        managed = model.settings.managed
        if len(plan.served) > 1 or managed is None:
            lines += ['server = "vllm"', "priorities = true", f"url = {_toml(model.server.url)}"]
            continue
        lines += [f"[{name}.managed]", f"weights = {_toml(str(managed.weights.absolute()))}"]
        lines += [f"devices = {_toml(managed.devices)}", f"max_num_seqs = {managed.max_num_seqs}"]
        lines += [f"args = {_toml(managed.args)}"] if managed.args else []
    return lines


def _toml(value: object) -> str:
    """JSON's strings, numbers and lists of these are TOML's too."""
    return orjson.dumps(value).decode()


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
