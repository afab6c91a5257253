"""What becomes of work whose callers leave."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from models.base import TextKind
from service.cli.bench.embed.rig import Rig
from service.scheduling.job import Lane


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Half of a queued load is cancelled at once.

    Attributes:
        unlaunched_tokens: of the cancelled half, not on the device when their callers left.
        computed_tokens: of these, computed nevertheless.
        saved: share of them that was never computed.
    """

    unlaunched_tokens: int
    computed_tokens: int
    saved: float


async def cancel_half(rig: Rig, texts: Sequence[str]) -> Cancellation:
    """Queue every text as a call of its own, cancel every other call, wait for the rest."""
    value, model = rig.metrics.registry.get_sample_value, {"model": rig.info.name}
    computed_before = value("quarry_tokens_total", model) or 0.0
    launched_before = value("quarry_cancelled_tokens_total", {"stage": "launched"}) or 0.0
    queued_before = value("quarry_cancelled_tokens_total", {"stage": "queued"}) or 0.0
    calls = [asyncio.create_task(rig.batcher.embed([text], TextKind.DOCUMENT, Lane.BULK)) for text in texts]
    await rig.bare(lambda _: None)  # by the time it is answered, all of them are queued
    for call in calls[1::2]:
        call.cancel()
    kept = await asyncio.gather(*calls[::2])
    await asyncio.gather(*calls, return_exceptions=True)
    queued = int((value("quarry_cancelled_tokens_total", {"stage": "queued"}) or 0.0) - queued_before)
    launched = int((value("quarry_cancelled_tokens_total", {"stage": "launched"}) or 0.0) - launched_before)
    computed = int((value("quarry_tokens_total", model) or 0.0) - computed_before)
    wasted = computed - sum(each.tokens for each in kept) - launched
    return Cancellation(queued, wasted, round(1 - wasted / queued, 4) if queued else 0.0)
