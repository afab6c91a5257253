import pytest

from loadtests.peers.client import completed_within
from loadtests.peers.figures import Figures, Spread
from loadtests.peers.job import Result
from loadtests.peers.scenarios import Target


def test_ratios_pair_the_blocks_of_a_round() -> None:
    # The machine slows down by half in the second round: either server's median would hide that the ratio stayed.
    assert Spread.of_ratios([400, 200, 440], [100, 50, 100]) == Spread(4, 4, 4.4)


def test_rates_are_medians_of_blocks_and_percentiles_are_of_all_requests() -> None:
    blocks = [
        Result(requests_per_s=10, latencies_ms=[1.0, 2.0], cpu_s=0.002, texts=32),
        Result(requests_per_s=30, latencies_ms=[3.0], cpu_s=0.002, texts=32),
        Result(requests_per_s=20, latencies_ms=[4.0, 5.0], cpu_s=0.002, texts=32),
    ]
    figures = Figures.of(blocks, texts_per_request=16)
    assert (figures.requests_per_s, figures.texts_per_s) == (20, 320)
    assert figures.p50_ms == 3
    assert figures.p99_ms == pytest.approx(4.96)
    assert figures.requests == 5
    assert figures.client_cpu_ms == pytest.approx(1)
    assert figures.rounds("requests_per_s") == (10, 30, 20)
    assert figures.rounds("p50_ms") == (1.5, 3, 4.5)


def test_a_request_that_straddles_the_clock_counts_by_its_part_inside() -> None:
    spans = [(-1.0, 1.0), (1.0, 3.0), (9.0, 13.0), (-4.0, -1.0), (11.0, 12.0)]
    assert completed_within(spans, 0, 10) == pytest.approx(0.5 + 1 + 0.25)


def test_a_rate_is_to_be_at_least_its_target_and_a_latency_at_most() -> None:
    assert Target("requests_per_s", 4).met(4.0)
    assert not Target("requests_per_s", 4).met(3.99)
    assert Target("p50_ms", 0.5).met(0.5)
    assert not Target("p50_ms", 0.5).met(0.51)
