"""What a window of a vLLM server's metrics comes to."""

import math

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from service.generation.vllm_figures import Quantiles, Scrape, figures

MODEL = "tiny"
EDGES = (0.1, 0.2, 0.4)


class Server:
    """Counts as vLLM does, by engine."""

    def __init__(self, engines: int = 1) -> None:
        self.registry = CollectorRegistry()
        labels = ("engine", "model_name")

        def made(kind: type, name: str, **more: object) -> list[object]:
            metric = kind(f"vllm:{name}", name, labels, registry=self.registry, **more)
            return [metric.labels(str(engine), MODEL) for engine in range(engines)]

        self.running = made(Gauge, "num_requests_running")
        self.waiting = made(Gauge, "num_requests_waiting")
        self.cache = made(Gauge, "kv_cache_usage_perc")
        self.queries, self.hits = made(Counter, "prefix_cache_queries"), made(Counter, "prefix_cache_hits")
        self.preemptions = made(Counter, "num_preemptions")
        self.prompt, self.generated = made(Counter, "prompt_tokens"), made(Counter, "generation_tokens")
        self.ttft = made(Histogram, "time_to_first_token_seconds", buckets=EDGES)
        self.itl = made(Histogram, "inter_token_latency_seconds", buckets=EDGES)
        # Names that begin as ours do.
        made(Counter, "prompt_tokens_by_source")
        made(Histogram, "inter_token_latency_seconds_bucketed", buckets=EDGES)

    def scrape(self, at: float) -> Scrape:
        return Scrape.of(generate_latest(self.registry).decode(), at)


def test_state_and_what_happened_within_the_window() -> None:
    server = Server(engines=2)
    for engine in range(2):
        server.queries[engine].inc(1000)
        server.hits[engine].inc(900)
        server.generated[engine].inc(77)
        server.ttft[engine].observe(0.3)
    first = server.scrape(100.0)
    for engine, usage in enumerate((0.25, 0.75)):
        server.running[engine].set(2)
        server.waiting[engine].set(engine)
        server.cache[engine].set(usage)
        server.queries[engine].inc(100)
        server.hits[engine].inc(25)
        server.prompt[engine].inc(300)
        server.generated[engine].inc(60)
        server.preemptions[engine].inc(1)
    for _ in range(10):
        server.ttft[0].observe(0.05)
        server.ttft[1].observe(0.15)
    found = figures(first, server.scrape(130.0))
    assert (found.window_s, found.running, found.waiting, found.kv_cache_usage) == (30.0, 4, 1, 0.75)
    assert (found.prefix_cache_hit_rate, found.preemptions) == (0.25, 2)
    assert (found.prompt_tokens_per_s, found.generation_tokens_per_s) == (20.0, 4.0)
    # Ten below 0.1 and ten between 0.1 and 0.2: what came before the window does not count.
    assert found.ttft == Quantiles(pytest.approx(0.1), pytest.approx(0.19))
    assert found.itl is None


def test_one_reading_has_a_state_and_no_rates() -> None:
    server = Server()
    server.running[0].set(3)
    server.ttft[0].observe(0.05)
    only = server.scrape(1.0)
    found = figures(only, only)
    assert (found.window_s, found.running) == (0.0, 3)
    assert {found.preemptions, found.generation_tokens_per_s, found.prefix_cache_hit_rate, found.ttft} == {None}


def test_beyond_the_last_edge_nothing_is_made_up() -> None:
    server = Server()
    before = server.scrape(0.0)
    server.itl[0].observe(9.0)
    assert figures(before, server.scrape(1.0)).itl == Quantiles(0.4, 0.4)


def test_names_that_are_missing_are_not_zero() -> None:
    text = "vllm:num_requests_running 2.0\n"
    found = figures(Scrape.of(text, 0.0), Scrape.of(text, 5.0))
    assert (found.running, found.waiting, found.kv_cache_usage, found.generation_tokens_per_s) == (
        2.0,
        None,
        None,
        None,
    )


@pytest.mark.parametrize("text", ["", "<html>", "http_requests 1\n", "vllm:num_requests_running{ 1\n"])
def test_what_is_not_vllms_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Scrape.of(text, 0.0)


def test_a_server_that_began_anew_does_not_follow() -> None:
    old, new = Server(), Server()
    old.generated[0].inc(5)
    new.generated[0].inc(4)
    assert not new.scrape(2.0).follows(old.scrape(1.0))
    assert old.scrape(2.0).follows(old.scrape(1.0))
    assert not math.isnan(old.scrape(2.0).values["vllm:generation_tokens_total"])
