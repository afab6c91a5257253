"""Lines that go on, and lines that begin something."""

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.base import Document, TextFormat
from models.hashing import HashingEmbedder
from service.ingest.chunking import Chunker
from service.lines import beginnings, unwrapped

PROSE = (
    "The shell looks for the command in every folder of the path. If it finds none, it returns a status of 127. If the "
    "file is there but cannot be executed, Bash returns 126 and says so. A status of more than 128 is that of a signal."
)
SENTENCES = [f"{sentence.rstrip('.')}." for sentence in PROSE.split(". ")]


@pytest.mark.parametrize("width", [24, 40, 60])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_prose_in_a_column_is_read_on(width: int, line_end: str) -> None:
    column = textwrap.fill(PROSE, width).replace("\n", line_end)
    assert all(line.strip().endswith(".") for line in unwrapped(column).split("\n"))


def test_what_only_looks_like_an_item_is_read_on() -> None:
    text = "If it finds none it returns a\nstatus to its caller of\n127. If it is there, what is\nreturned is 126."
    assert "\n" not in unwrapped(text)
    listed = text.replace("returned is 126.", "\n128. Others are signals.")
    assert "\n127. If" in unwrapped(listed)


@pytest.mark.parametrize(
    "text",
    [
        "10:00 Server started at port 80\n10:01 Client came from Berlin\n10:02 Client went to Bonn again",
        "Bees 12 of them\nWasps 13 of them\nAnts 14 of them\nhornets none",
        "It is wrapped here and\ngoes on here:\n\n- an item that stands alone\n- another item of it",
        "Lines that are a heading\n\nunder it some text",
    ],
)
def test_other_lines_stay(text: str) -> None:
    kept = text.replace("here and\ngoes", "here and goes")
    assert unwrapped(text) == kept


LINES = st.lists(st.sampled_from(
    ["some words go", " on here", ".", "\n", "\r\n", "Capital", "12. ", "- ", "| a |", "    ", "\r", "\u2028", "日本。"]
)).map("".join)  # fmt: skip


@given(st.one_of(LINES, st.text(max_size=200)))
def test_only_line_ends_become_spaces(text: str) -> None:
    joined = unwrapped(text)
    assert len(joined) == len(text)
    assert all(one == other or (one in "\r\n" and other == " ") for one, other in zip(text, joined, strict=True))
    lines = text.split("\n")
    assert len(beginnings(lines)) == len(lines)


@pytest.mark.parametrize("kind", ["paged", "text"])
@pytest.mark.parametrize("width", [24, 40, 60])
def test_no_sentence_of_wrapped_text_is_cut_that_fits(kind: TextFormat, width: int) -> None:
    text = textwrap.fill(PROSE, width)
    document = Document("doc", "", text, {}, None, kind, b"")
    chunks = Chunker(HashingEmbedder().count_tokens, 24, 0, 256).chunks(document)
    said = [" ".join(chunk.text.split()) for chunk in chunks]
    assert len(chunks) > 1
    assert [sentence for sentence in SENTENCES if not any(sentence in text for text in said)] == []
