"""One document does not fill the hits."""

from dataclasses import replace

import pytest

from indexes.base import Chunk, Hit
from service.diversity import diversified, left_out


def hit(document: str, ordinal: int, score: float) -> Hit:
    return Hit(Chunk(document, ordinal, "", 0, 0), "", None, score, {"vector": score})


def scored_by_lengths(cosine: Hit, rows: float, query: float, metric: str) -> Hit:
    """The same hit where vectors have these lengths."""
    product = rows * query
    if metric == "ip":
        return replace(cosine, score=product * cosine.score, score_per_cosine=product)
    return replace(cosine, score=2 * product * cosine.score - rows**2 - query**2, score_per_cosine=2 * product)


HITS = [hit("a", 0, 0.9), hit("a", 1, 0.85), hit("b", 0, 0.8), hit("a", 2, 0.75), hit("c", 0, 0.7), hit("b", 1, 0.3)]


def ids(hits: list[Hit]) -> list[str]:
    return [each.chunk.id for each in hits]


def test_repeated_documents_step_back() -> None:
    assert ids(diversified(HITS, 6, 0.1)) == ["a#0", "b#0", "a#1", "c#0", "a#2", "b#1"]


def test_only_the_wanted_number_comes_back() -> None:
    assert ids(diversified(HITS, 3, 0.1)) == ["a#0", "b#0", "a#1"]
    assert diversified([], 3, 0.1) == []


def test_a_clearly_better_second_chunk_stays_ahead() -> None:
    assert ids(diversified(HITS, 3, 0.01)) == ["a#0", "a#1", "b#0"]


@pytest.mark.parametrize("metric", ["ip", "l2"])
@pytest.mark.parametrize("length", [0.01, 1, 40])
@pytest.mark.parametrize("penalty", [0.01, 0.1, 0.4])
def test_the_order_is_that_of_the_cosines_whatever_the_scale_of_the_scores(
    metric: str, length: float, penalty: float
) -> None:
    hits = [scored_by_lengths(each, length, 3, metric) for each in HITS]
    assert ids(diversified(hits, 6, penalty)) == ids(diversified(HITS, 6, penalty))


def test_the_penalty_is_in_the_score_and_not_in_its_parts() -> None:
    chunk = next(each for each in diversified(HITS, 6, 0.1) if each.chunk.id == "a#2")
    assert (chunk.score, chunk.scores) == (0.65, {"vector": 0.75})


def test_what_was_left_out_says_why() -> None:
    kept = diversified(HITS, 2, 0.1)
    assert ids(kept) == ["a#0", "b#0"]
    told = [(dropped.chunk, dropped.score, dropped.reason) for dropped in left_out(HITS, kept)]
    assert told == [
        ("a#1", 0.85, "repeated"), ("a#2", 0.75, "outranked"), ("c#0", 0.7, "outranked"), ("b#1", 0.3, "outranked"),
    ]  # fmt: skip
    assert left_out(HITS, HITS) == []
