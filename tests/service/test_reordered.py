"""Hits as a cross-encoder left them: all of them, and nothing but their order is another."""

import random
from collections.abc import Sequence

import pytest

from indexes.base import Chunk, Hit, SearchParams
from indexes.searched import DroppedChunk, Searched
from service.reordered import Reordered

SEED = 20261207


def hits(count: int) -> list[Hit]:
    return [
        Hit(Chunk(f"{place}", 0, "text", 0, 4), "", None, 1 - place / 100, {"vector": 0.5}) for place in range(count)
    ]


def ids(found: Sequence[Hit]) -> list[str]:
    return [hit.chunk.document_id for hit in found]


def test_those_that_were_scored_come_first_and_the_others_stay() -> None:
    reordered = Reordered.of("m", hits(5), [0.1, 0.9, 0.5], 3, None)
    assert ids(reordered.hits) == ["1", "2", "0", "3", "4"]
    assert list(reordered.places) == [1, 2, 0, 3, 4]
    assert [hit.scores.get("rerank") for hit in reordered.hits] == [0.9, 0.5, 0.1, None, None]
    assert [hit.score for hit in reordered.hits] == [0.99, 0.98, 1.0, 0.97, 0.96]
    assert all(hit.scores["vector"] == 0.5 for hit in reordered.hits)


@pytest.mark.parametrize("trial", range(50))
def test_no_hit_is_lost_and_none_is_made(trial: int) -> None:
    dice = random.Random(SEED + trial)  # noqa: S311  no secrets
    print(f"seed {SEED + trial}")  # noqa: T201
    found = hits(dice.randrange(12))
    scores = [dice.choice([-3.0, 0.0, 0.5]) for _ in range(dice.randrange(len(found) + 1))]
    reordered = Reordered.of("m", found, scores, len(found), None)
    assert sorted(ids(reordered.hits)) == sorted(ids(found))
    assert [found[place].chunk for place in reordered.places] == [hit.chunk for hit in reordered.hits]
    first, rest = reordered.places[: len(scores)], reordered.places[len(scores) :]
    # The better score first, of equal ones the one that the search has first.
    assert list(first) == sorted(range(len(scores)), key=lambda place: (-scores[place], place))
    assert list(rest) == list(range(len(scores), len(found)))


@pytest.mark.parametrize(
    ("wanted", "scores", "is_lost"), [(3, [], True), (3, [0.1], False), (0, [], False), (3, [0.1, 0.2, 0.3], False)]
)
def test_it_is_lost_where_there_was_something_and_nothing_was_scored(
    wanted: int, scores: list[float], is_lost: bool
) -> None:
    assert Reordered.of("m", hits(3), scores, wanted, "late").is_lost is is_lost


def test_what_no_longer_is_a_hit_is_named_with_its_reason() -> None:
    found = hits(4)
    searched = Searched(found, 7, None, 0, 4, dropped=[DroppedChunk("x#0", 0.1, "outranked")])
    reordered = Reordered.of("m", found, [0.1, 0.2, 0.3], 3, None)
    kept = reordered.kept(searched, SearchParams(top_k=2, explain=True))
    assert (ids(kept.hits), kept.version) == (["2", "1"], 7)
    assert kept.dropped == [
        DroppedChunk("0#0", 1.0, "reranked"),
        DroppedChunk("3#0", 0.97, "outranked"),
        DroppedChunk("x#0", 0.1, "outranked"),
    ]
    assert reordered.kept(searched, SearchParams(top_k=2)).dropped == []
