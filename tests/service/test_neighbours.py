"""Passages with the text around them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.base import Chunk, Hit
from indexes.surroundings import ChunkSpan, Surroundings
from service.generation.base import Passage
from service.neighbours import widened

TEXT = "".join(chr(ord("a") + place % 26) for place in range(200))


def passage(number: int, span: tuple[int, int], document: str = "d", **chunk: object) -> Passage:
    start, end = span
    made = Chunk(document, number, TEXT[start:end], start, end, **chunk)
    return Passage(number, Hit(made, "", None, 1.0, {"vector": 0.5}, row=number))


def around(number: int, start: int, end: int) -> dict[int, Surroundings]:
    return {number: Surroundings(start, TEXT[start:end], (ChunkSpan(number, start, end),))}


def spans(passages: list[Passage]) -> list[tuple[int, int, int, str]]:
    """Number, span and chunk; each is the slice of its document that it says it is."""
    chunks = [(each.number, each.hit.chunk) for each in passages]
    assert all(chunk.text == TEXT[chunk.start : chunk.end] for _, chunk in chunks)
    return [(number, chunk.start, chunk.end, chunk.id) for number, chunk in chunks]


def test_a_passage_gets_what_is_around_it_and_nothing_else_changes() -> None:
    alone = [passage(1, (50, 60)), passage(2, (50, 60), document="e")]
    first, second = widened(alone, around(1, 40, 70))
    assert spans([first, second]) == [(1, 40, 70, "d#1"), (2, 50, 60, "e#2")]
    assert (first.hit.scores, first.hit.row, second) == ({"vector": 0.5}, 1, alone[1])
    assert widened(alone, {}) == alone


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([(70, 80)], [(1, 40, 80, "d#1")]),
        ([(71, 80)], [(1, 40, 70, "d#1"), (2, 71, 80, "d#2")]),
        ([(30, 40)], [(1, 30, 70, "d#1")]),
        ([(45, 50)], [(1, 40, 70, "d#1")]),
        ([(20, 90)], [(1, 20, 90, "d#1")]),
        ([(10, 20), (100, 110), (65, 75)], [(1, 40, 75, "d#1"), (2, 10, 20, "d#2"), (3, 100, 110, "d#3")]),
        ([(80, 90), (70, 80)], [(1, 40, 90, "d#1")]),
    ],
)
def test_those_that_overlap_or_touch_become_one(
    others: list[tuple[int, int]], expected: list[tuple[int, int, int, str]]
) -> None:
    passages = [passage(1, (50, 60)), *(passage(number, span) for number, span in enumerate(others, start=2))]
    assert spans(widened(passages, around(1, 40, 70))) == expected


@pytest.mark.parametrize("place", [{"document": "e"}, {"page": 2}, {"heading_path": ("Elsewhere",)}])
def test_only_what_is_in_one_place_becomes_one(place: dict[str, object]) -> None:
    passages = [passage(1, (50, 60)), passage(2, (55, 65), **place)]
    assert len(widened(passages, {})) == 2


SPANS = st.tuples(st.integers(0, 150), st.integers(1, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))


@given(st.lists(SPANS, max_size=8))
def test_all_of_the_text_is_kept_once_and_in_order_of_rank(given_spans: list[tuple[int, int]]) -> None:
    passages = [passage(number, span) for number, span in enumerate(given_spans, start=1)]
    made = spans(widened(passages, {}))
    covered = [place for _, start, end, _ in made for place in range(start, end)]
    assert sorted(covered) == sorted({place for start, end in given_spans for place in range(start, end)})
    assert all(a[2] < b[1] or b[2] < a[1] for a in made for b in made if a is not b)
    assert [number for number, *_ in made] == list(range(1, len(made) + 1))
    chunks = [chunk for each in widened(passages, {}) for chunk in each.chunks]
    assert sorted((chunk.start, chunk.end) for chunk in chunks) == sorted(given_spans)
    ranks = [int(chunk.split("#")[1]) for *_, chunk in made]
    assert ranks == sorted(ranks)
