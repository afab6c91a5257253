"""Markers in a stream: whatever the split, the same text, the same citations."""

import re
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexes.base import Chunk, Hit
from service.generation.base import Cited, Delta, Passage
from service.generation.citations import CitationParser

KNOWN = (1, 2, 3, 10)


def passage(number: int) -> Passage:
    chunk = Chunk(f"doc-{number}", 0, "x" * number, 100 * number, 100 * number + number)
    return Passage(number, Hit(chunk, "", None, 1.0))


def parsed(pieces: Iterable[str]) -> tuple[str, list[Cited], int]:
    """The shown text, the citations, and the count of invalid markers."""
    parser = CitationParser({number: passage(number) for number in KNOWN})
    events = [event for piece in pieces for event in parser.feed(piece)]
    events += parser.flush()
    text = "".join(event.text for event in events if isinstance(event, Delta))
    return text, [event for event in events if isinstance(event, Cited)], parser.invalid


def numbers(citations: Sequence[Cited]) -> list[int]:
    return [citation.number for citation in citations]


@pytest.mark.parametrize(
    ("text", "shown", "cited", "invalid"),
    [
        ("No marker.", "No marker.", [], 0),
        ("Yes [1].", "Yes [1].", [1], 0),
        ("Two [1][2].", "Two [1][2].", [1, 2], 0),
        ("List [1, 3].", "List [1][3].", [1, 3], 0),
        ("List[ 1 ,3 ].", "List[1][3].", [1, 3], 0),
        ("Ten [10].", "Ten [10].", [10], 0),
        ("Bad [4].", "Bad.", [], 1),
        ("Bad [0] [99]!", "Bad!", [], 2),
        ("Mixed [1, 4, 2].", "Mixed [1][2].", [1, 2], 1),
        ("Not one [a], [], [1a], [-1], [1.", "Not one [a], [], [1a], [-1], [1.", [], 0),
        ("Nested [[1]]", "Nested [[1]]", [1], 0),
        ("At the end [2]", "At the end [2]", [2], 0),
        ("Trailing  ", "Trailing  ", [], 0),
        ("Line\n[1]\n", "Line\n[1]\n", [1], 0),
        ("[1] first", "[1] first", [1], 0),
        ("Huge [" + "9" * 5000 + "] number", "Huge [" + "9" * 5000 + "] number", [], 0),
    ],
)
def test_what_is_shown(text: str, shown: str, cited: list[int], invalid: int) -> None:
    result, citations, dropped = parsed([text])
    assert (result, numbers(citations), dropped) == (shown, cited, invalid)


def test_every_passage_may_be_in_one_marker() -> None:
    parser = CitationParser({number: passage(number) for number in range(1, 21)})
    marker = f"[{', '.join(map(str, range(1, 21)))}]"
    events = [*parser.feed(marker), *parser.flush()]
    assert [event.number for event in events if isinstance(event, Cited)] == list(range(1, 21))


def test_a_citation_names_the_whole_passage() -> None:
    _, citations, _ = parsed(["So it is [3]."])
    assert citations == [Cited(3, document_start=300, document_end=303, answer_start=9, answer_end=12)]


def test_text_is_handed_on_as_soon_as_it_is_decided() -> None:
    parser = CitationParser({1: passage(1)})
    assert list(parser.feed("Hello")) == [Delta("Hello")]
    assert list(parser.feed(" [")) == []
    assert list(parser.feed("1")) == []
    assert [event for event in parser.feed("]") if isinstance(event, Delta)] == [Delta(" "), Delta("[1]")]
    assert list(parser.feed(" [x")) == [Delta(" [x")]


MARKERS = st.sampled_from(
    ["[1]", " [2]", "[1, 3]", "[ 1,2 , 10 ]", "[4]", " [99]", "[", "]", "[[", "[1", "1]", "[1,", "[,]", "[1,,2]"]
)
WORDS = st.text(alphabet="ab .,\n\t0123456789[]🎉é", max_size=12)
LONG = st.builds(
    lambda n, gap: f"[{gap.join(['1', '2', '3', '99'] * n)}]", st.integers(1, 20), st.sampled_from([",", ", "])
)
TEXTS = st.lists(st.one_of(MARKERS, WORDS, LONG, st.just(" " * 9)), max_size=12).map("".join)


@st.composite
def split_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    text = draw(TEXTS)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=20)))
    return text, [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(split_texts())
@example(("[1, 2, 3, 1, 2, 3, 1, 2, 3, 1]", list("[1, 2, 3, 1, 2, 3, 1, 2, 3, 1]")))
def test_any_split_gives_the_same(case: tuple[str, list[str]]) -> None:
    text, pieces = case
    assert parsed(pieces) == parsed([text]) == parsed(text)


@given(TEXTS)
def test_offsets_are_the_markers_in_the_answer(text: str) -> None:
    shown, citations, _ = parsed([text])
    for citation in citations:
        assert shown[citation.answer_start : citation.answer_end] == f"[{citation.number}]"
        assert citation.number in KNOWN
    starts = [citation.answer_start for citation in citations]
    assert starts == sorted(set(starts))


@given(TEXTS)
def test_nothing_but_markers_and_the_space_before_them_is_changed(text: str) -> None:
    shown, _, _ = parsed([text])
    assert re.sub(r"[\[\]\d\s,]", "", shown) == re.sub(r"[\[\]\d\s,]", "", text)
