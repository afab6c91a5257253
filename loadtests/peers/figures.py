"""Medians, percentiles and ratios of blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median

import numpy as np

from loadtests.peers.job import Result


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and what it lies between."""

    median: float
    low: float
    high: float

    @classmethod
    def of_ratios(cls, numerators: Sequence[float], denominators: Sequence[float]) -> "Spread":
        """Of pairs measured one after the other, so that a slow minute of the machine is in both halves of a pair."""
        ratios = [above / below for above, below in zip(numerators, denominators, strict=True)]
        return cls(median(ratios), min(ratios), max(ratios))


@dataclass(frozen=True, slots=True)
class Figures:
    """One server in one scenario.

    Attributes:
        requests_per_s: median of the blocks.
        texts_per_s: the same in texts.
        p50_ms: of all requests of all blocks; p99_ms too.
        requests: how many those are.
        client_cpu_ms: processor time of the client per request.
        block_requests_per_s: of each block, in order; block_p50_ms too.
    """

    requests_per_s: float
    texts_per_s: float
    p50_ms: float
    p99_ms: float
    requests: int
    client_cpu_ms: float
    block_requests_per_s: tuple[float, ...]
    block_p50_ms: tuple[float, ...]

    @classmethod
    def of(cls, blocks: Sequence[Result], texts_per_request: int) -> "Figures":
        """Of a server's blocks in order; each has completed a request while its clock ran."""
        latencies = list(chain.from_iterable(block.latencies_ms for block in blocks))
        p50, p99 = np.percentile(latencies, [50, 99])
        rates = tuple(block.requests_per_s for block in blocks)
        sent = sum(block.texts for block in blocks) / texts_per_request
        return cls(
            requests_per_s=median(rates),
            texts_per_s=median(rates) * texts_per_request,
            p50_ms=float(p50),
            p99_ms=float(p99),
            requests=len(latencies),
            client_cpu_ms=1000 * sum(block.cpu_s for block in blocks) / sent,
            block_requests_per_s=rates,
            block_p50_ms=tuple(median(block.latencies_ms) for block in blocks),
        )

    def rounds(self, measure: str) -> tuple[float, ...]:
        """Of each block, what a target is about."""
        return {"requests_per_s": self.block_requests_per_s, "p50_ms": self.block_p50_ms}[measure]
