"""What a vLLM server counts of itself, read from its /metrics, and what that comes to over a window. Pure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
KV_CACHE = "vllm:kv_cache_usage_perc"
PREFIX_QUERIES = "vllm:prefix_cache_queries_total"
PREFIX_HITS = "vllm:prefix_cache_hits_total"
PREEMPTIONS = "vllm:num_preemptions_total"
PROMPT_TOKENS = "vllm:prompt_tokens_total"
GENERATION_TOKENS = "vllm:generation_tokens_total"
TTFT = "vllm:time_to_first_token_seconds_bucket"
ITL = "vllm:inter_token_latency_seconds_bucket"

NAMES = (
    *(RUNNING, WAITING, KV_CACHE, PREFIX_QUERIES, PREFIX_HITS, PREEMPTIONS, PROMPT_TOKENS, GENERATION_TOKENS),
    *(TTFT, ITL),
)
"""Of the samples that are read, of the hundreds that vLLM has."""

_COUNTERS = (PREFIX_QUERIES, PREFIX_HITS, PREEMPTIONS, PROMPT_TOKENS, GENERATION_TOKENS)
# A name is followed by its labels, or by its value: `vllm:prompt_tokens_total` begins other names, too.
_STARTS = tuple(name + end for name in NAMES for end in "{ ")

Buckets = Mapping[float, float]
"""Upper edge in seconds -> samples at or below it."""


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading, engines and models of the server together.

    Attributes:
        at: ``time.monotonic()`` seconds.
        values: by name, added up, of the KV cache the fullest; names that the server lacks are left out.
        buckets: of the histograms, by name.
    """

    at: float
    values: Mapping[str, float]
    buckets: Mapping[str, Buckets]

    @classmethod
    def of(cls, text: str, at: float) -> "Scrape":
        """Of an exposition.

        Raises:
            ValueError: a line of it is none, or it has none of the names.
        """
        values: dict[str, float] = {}
        buckets: dict[str, dict[float, float]] = {}
        for sample in _samples(text):
            if "le" in sample.labels:
                edges, edge = buckets.setdefault(sample.name, {}), float(sample.labels["le"])
                edges[edge] = edges.get(edge, 0.0) + sample.value
            elif sample.name == KV_CACHE:
                values[KV_CACHE] = max(sample.value, values.get(KV_CACHE, 0.0))
            else:
                values[sample.name] = values.get(sample.name, 0.0) + sample.value
        if not values:
            raise ValueError("none of vLLM's metrics is in it")
        return cls(at, values, buckets)

    def follows(self, before: "Scrape") -> bool:
        """No counter is lower than it was: the server is the same process still."""
        return all(self.values.get(name, 0.0) >= before.values.get(name, 0.0) for name in _COUNTERS)


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Seconds, as exact as the buckets are wide."""

    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class VllmFigures:
    """The newest state, and what happened within the window; None is what the server or the window does not tell.

    Attributes:
        window_s: from the oldest reading that counts to the newest; 0 with a single one.
        kv_cache_usage: share of its blocks that are taken, 0 to 1.
        prefix_cache_hit_rate: share of the prompts' tokens that were found cached.
        preemptions: sequences that were put back because the cache was full.
        ttft: from a request's arrival at the server to its first token.
        itl: between two tokens.
    """

    window_s: float
    running: float | None
    waiting: float | None
    kv_cache_usage: float | None
    prefix_cache_hit_rate: float | None
    preemptions: float | None
    prompt_tokens_per_s: float | None
    generation_tokens_per_s: float | None
    ttft: Quantiles | None
    itl: Quantiles | None


def figures(first: Scrape, last: Scrape) -> VllmFigures:
    """From one reading to another of the same process; the same one twice has no window."""
    window_s = last.at - first.at

    def grown(name: str) -> float | None:
        return last.values[name] - first.values[name] if name in first.values and name in last.values else None

    def rate(name: str) -> float | None:
        return _ratio(grown(name), window_s)

    return VllmFigures(
        window_s=window_s,
        running=last.values.get(RUNNING),
        waiting=last.values.get(WAITING),
        kv_cache_usage=last.values.get(KV_CACHE),
        prefix_cache_hit_rate=_ratio(grown(PREFIX_HITS), grown(PREFIX_QUERIES)),
        preemptions=grown(PREEMPTIONS) if window_s else None,
        prompt_tokens_per_s=rate(PROMPT_TOKENS),
        generation_tokens_per_s=rate(GENERATION_TOKENS),
        ttft=_quantiles(first.buckets.get(TTFT, {}), last.buckets.get(TTFT, {})),
        itl=_quantiles(first.buckets.get(ITL, {}), last.buckets.get(ITL, {})),
    )


def _samples(text: str) -> Iterator[Sample]:
    """Parsing all of them would take the event loop tens of milliseconds."""
    lines = [line for line in text.splitlines() if line.startswith(_STARTS)]
    for family in text_string_to_metric_families("\n".join(lines) + "\n"):
        yield from family.samples


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _quantiles(first: Buckets, last: Buckets) -> Quantiles | None:
    """None where nothing was counted in between."""
    grown = [(edge, last[edge] - first.get(edge, 0.0)) for edge in sorted(last)]
    if not grown or grown[-1][1] <= 0:
        return None
    return Quantiles(_quantile(0.50, grown), _quantile(0.95, grown))


def _quantile(share: float, counts: Sequence[tuple[float, float]]) -> float:
    """As Prometheus's ``histogram_quantile``: samples lie evenly in their bucket, and none beyond the last edge."""
    rank = share * counts[-1][1]
    for (lower, below), (upper, count) in pairwise([(0.0, 0.0), *counts]):
        if count >= rank and count > below:
            return lower if math.isinf(upper) else lower + (upper - lower) * (rank - below) / (count - below)
    return counts[-1][0]
