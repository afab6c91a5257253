"""Markers in a stream: whatever the split, the same text, the same citations."""

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexes.base import Chunk, Hit
from service.generation.base import Cited, Delta, Passage
from service.generation.citations import CitationParser
from service.generation.markers import MarkerScanner

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
        ("[2]", "[2]", [2], 0),
        ("Semi [1; 3] and [1 and 2] & [1 & 10].", "Semi [1][3] and [1][2] & [1][10].", [1, 3, 1, 2, 1, 10], 0),
        ("Twice [1, 1].", "Twice [1].", [1], 0),
        (
            "Ranges [1-3], [2\u20133] and [1 - 2, 10].",
            "Ranges [1][2][3], [2][3] and [1][2][10].",
            [1, 2, 3, 2, 3, 1, 2, 10],
            0,
        ),
        ("Beyond [2-5].", "Beyond [2][3].", [2, 3], 1),
        ("Not ours [18-65], [0-9].", "Not ours [18-65], [0-9].", [], 0),
        ("Backwards [3-1].", "Backwards [3].", [3], 0),
        ("Wide [\uff11] \uff3b\uff12\uff3d \u30103\u3011.", "Wide [1] [2] [3].", [1, 2, 3], 0),
        ("Notes \u30101\u2020source.pdf\u3011 and [2\u2020L4-L9].", "Notes [1] and [2].", [1, 2], 0),
        ("Arabic [\u0661].", "Arabic [1].", [1], 0),
        ("Foot [^1] [^99].", "Foot [1].", [1], 1),
        (
            "Labels [passage 1], [Passages 1, 2] [Source 2, source 3] [doc10].",
            "Labels [1], [1][2] [2][3] [10].",
            [1, 1, 2, 2, 3, 10],
            0,
        ),
        ("Unequal [1\u3011 [passage] [passages].", "Unequal [1\u3011 [passage] [passages].", [], 0),
        ("Zeros [01] [007].", "Zeros [1].", [1], 1),
        ("A year [2024] and [99999999999999999999].", "A year [2024] and [99999999999999999999].", [], 0),
        ("Link [1](https://x.org/a_b) [2](#fn) [9](/x).", "Link [1] [2].", [1, 2], 1),
        ("Image ![1](https://evil.org/?q=x).", "Image ![1].", [1], 0),
        ("Aside [1](see there) [2] (and http).", "Aside [1](see there) [2] (and http).", [1, 2], 0),
        ("Open [1](https://x", "Open [1](https://x", [1], 0),
        ("Code `a[1]` and ``b[9]`` [1].", "Code `a[1]` and ``b[9]`` [1].", [1], 0),
        ("``a``[9]`", "``a```", [], 1),
        ("A stray ` and [1].\nIt`s [9]", "A stray ` and [1].\nIt`s", [1], 1),
        ("```py\na[9]\n``` [2]", "```py\na[9]\n``` [2]", [2], 0),
        ("```\na[9] never closed [1]", "```\na[9] never closed [1]", [], 0),
        ("Lines\n[9]\nstay", "Lines\n\nstay", [], 1),
        ("\U0001f41d bees [1] \U0001d11e [2]", "\U0001f41d bees [1] \U0001d11e [2]", [1, 2], 0),
        ("Huge [" + "9" * 5000 + "] number", "Huge [" + "9" * 5000 + "] number", [], 0),
    ],
)
def test_what_is_shown(text: str, shown: str, cited: list[int], invalid: int) -> None:
    for pieces in ([text], text):
        result, citations, dropped = parsed(pieces)
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
    for undecided in [" [", "1", "]"]:
        assert list(parser.feed(undecided)) == []
    # Only now is it known that no link's target follows.
    assert list(parser.feed(".")) == [Delta(" "), Delta("[1]"), Cited(1, 100, 101, 6, 9), Delta(".")]
    assert list(parser.feed(" [x")) == [Delta(" [x")]
    assert list(parser.feed(" [note that")) == [Delta(" [note that")]


@pytest.mark.parametrize(
    "endless", ["[1, ", "[1 x", " ", "`x", "[1](http://", "[1\u2020a", "``", "[passage ", "9", "["]
)
def test_little_is_held_back(endless: str) -> None:
    parser = CitationParser({1: passage(1)})
    said = endless + endless[-1] * 3000
    shown = sum(len(event.text) for character in said for event in parser.feed(character) if isinstance(event, Delta))
    assert len(said) - shown <= 1000


MARKERS = st.sampled_from(
    [
        *["[1]", " [2]", "[1, 3]", "[ 1,2 , 10 ]", "[4]", " [99]", "[", "]", "[[", "[1", "1]", "[1,", "[,]", "[1,,2]"],
        *["[1-3]", "[0-9]", "[2\u2013", "[^1]", "[passage 1]", "[Sources 1 and 2]", "[pas", "sage 1]", " and "],
        *["\u30101\u2020x.y\u3011", "\u3010", "\u3011", "\u2020", "[\uff11]"],
        *["`", "``", "```", "`a[1]`", "[1](http://x)", "(#", "(https:", ")"],
    ]
)
WORDS = st.text(alphabet="ab .,\n\t0123456789[]🎉é^-`()/:", max_size=12)
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
def test_what_is_not_marked_is_not_changed(text: str) -> None:
    pieces = list(MarkerScanner().feed(text, is_all=True))
    written = "".join(piece if isinstance(piece, str) else piece.written for piece in pieces)
    assert written == text


@given(st.text(alphabet=st.characters(exclude_characters="[\u3010\uff3b"), max_size=60))
def test_text_without_brackets_is_handed_on_as_it_is(text: str) -> None:
    assert parsed(text) == (text, [], 0)
