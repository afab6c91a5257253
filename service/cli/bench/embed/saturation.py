"""Throughput of the engine beside that of the bare model, over the same texts."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from models.base import Embedder, TextKind, TokenIds
from service.cli.bench.embed.rig import Rig
from service.scheduling.job import Lane

_ROUNDS = 5
# Callers at a time are so many that this many batches could be filled from what they ask.
_WAITING_BATCHES = 4


@dataclass(frozen=True, slots=True)
class Saturation:
    """One kind of text in requests of one size; medians over rounds.

    Attributes:
        ratio: engine over bare, the median of the ratios within each round.
        spread: lowest and highest of these ratios.
        padding_waste: share of the engine's computed tokens that was padding.
    """

    texts: str
    per_request: int
    bare_texts_per_s: float
    engine_texts_per_s: float
    ratio: float
    spread: tuple[float, float]
    padding_waste: float


async def saturate(rig: Rig, kind: str, texts: Sequence[str], per_request: int) -> Saturation:
    """Alternate between the bare model and the engine.

    The bare model gets tokens, sorted by length, in batches as large as the engine's budget.
    """
    tokens = rig.embedder.tokenize(texts, TextKind.DOCUMENT)
    batches = _sorted_batches(tokens, rig.capacity.tokens)
    callers = _WAITING_BATCHES * rig.capacity.tokens * len(texts) // (per_request * sum(map(len, tokens)))
    bare, engine = [], []
    before = _tokens(rig)
    for _ in range(_ROUNDS):
        bare.append(len(texts) / await rig.bare(lambda embedder: _forward(embedder, batches)))
        engine.append(len(texts) / await _through_engine(rig, texts, per_request, max(2, callers)))
    ratios = [mine / theirs for mine, theirs in zip(engine, bare, strict=True)]
    true, computed = (after - then for after, then in zip(_tokens(rig), before, strict=True))
    return Saturation(
        texts=kind,
        per_request=per_request,
        bare_texts_per_s=round(median(bare), 1),
        engine_texts_per_s=round(median(engine), 1),
        ratio=round(median(ratios), 3),
        spread=(round(min(ratios), 3), round(max(ratios), 3)),
        padding_waste=round(1 - true / computed, 4),
    )


def _sorted_batches(tokens: Sequence[TokenIds], budget: int) -> list[list[TokenIds]]:
    batches: list[list[TokenIds]] = [[]]
    for ids in sorted(tokens, key=len):
        if batches[-1] and sum(map(len, batches[-1])) + len(ids) > budget:
            batches.append([])
        batches[-1].append(ids)
    return batches


def _forward(embedder: Embedder, batches: Sequence[Sequence[TokenIds]]) -> None:
    for batch in batches:
        embedder.embed(batch)


async def _through_engine(rig: Rig, texts: Sequence[str], per_request: int, callers: int) -> float:
    """Seconds until a number of callers, each asking again as soon as it is answered, have all texts embedded."""
    requests = iter([texts[first : first + per_request] for first in range(0, len(texts), per_request)])

    async def caller() -> None:
        for request in requests:
            await rig.batcher.embed(request, TextKind.DOCUMENT, Lane.QUERY)

    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    return time.perf_counter() - start


def _tokens(rig: Rig) -> tuple[float, float]:
    """True and computed tokens so far."""
    value, model = rig.metrics.registry.get_sample_value, {"model": rig.info.name}
    return value("quarry_tokens_total", model) or 0.0, value("quarry_computed_tokens_total", model) or 0.0
