"""Chunks: slices of the document, within their size, under their headings."""

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from indexes.base import Document, TextFormat
from models.base import Embedder
from models.hashing import HashingEmbedder
from service.ingest.chunking import Chunker

COUNT = HashingEmbedder().count_tokens
MARKDOWN = (
    "Before any heading.\r\n\r\n# One 🎉\r\n\r\nText of one.\r\n\r\n## One point one\r\n\r\nDeeper text.\r\n\r\n"
    "### Deep\r\n\r\nDeepest.\r\n\r\n## One point two\r\n\r\nMore.\r\n\r\nSetext two\r\n==========\r\n\r\n"
    "```\r\n# not a heading\r\n```\r\n\r\nLast words.\r\n"
)


def document(text: str, kind: TextFormat = "markdown", title: str = "") -> Document:
    return Document("doc", title, text, {}, None, kind, b"")


def chunker(size: int = 10, overlap: int = 0, max_tokens: int = 256) -> Chunker:
    return Chunker(COUNT, size, overlap, max_tokens)


PIECES = st.sampled_from(
    ["word ", "Sentence ends. ", "# Heading\n", "## Sub *heading*\r\n", "\n\n", "\r\n\r\n", "\r", "- item\n",
     "> quote\n", "🎉 ", "\U0001f469\u200d\U0001f467 ", "e\u0301", "日本語のテキスト。", "```\ncode here\n```\n",
     "| a | b |\n|---|---|\n| 1 | 2 |\n",
     "\t", "\u00a0", "\u2028", "Setext\n===\n", "<b>html</b> ", "[link](http://x) ", "\u200b", "a-b_c ", "1. one\n",
     "\f"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=80).map("".join)
ANY_TEXTS = st.one_of(TEXTS, st.text(max_size=300))
FORMATS = st.sampled_from(["text", "markdown", "paged"])


@given(ANY_TEXTS, FORMATS, st.integers(1, 40), st.integers(0, 39))
@settings(deadline=None)
@example(MARKDOWN, "markdown", 5, 2)
def test_every_chunk_is_a_slice_within_the_size(text: str, kind: TextFormat, size: int, overlap: int) -> None:
    chunks = chunker(size, min(overlap, size - 1)).chunks(document(text, kind))
    for position, chunk in enumerate(chunks):
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.text.strip()
        assert COUNT(chunk.text) <= size
        assert chunk.ordinal == position
        assert chunk.id == f"doc#{position}"
    starts = [chunk.start for chunk in chunks]
    assert starts == sorted(starts)


@given(ANY_TEXTS, FORMATS, st.integers(1, 40))
@settings(deadline=None)
@example(MARKDOWN, "markdown", 3)
def test_without_overlap_every_character_is_in_one_chunk(text: str, kind: TextFormat, size: int) -> None:
    chunks = chunker(size).chunks(document(text, kind))
    covered = [0] * len(text)
    for chunk in chunks:
        for position in range(chunk.start, chunk.end):
            covered[position] += 1
    assert all(count == 1 for count, character in zip(covered, text, strict=True) if not character.isspace())
    assert max(covered, default=0) <= 1


def test_overlap_repeats_some_of_the_neighbour() -> None:
    text = " ".join(f"w{number}" for number in range(100))
    chunks = chunker(10, 4).chunks(document(text, "text"))
    for left, right in pairwise(chunks):
        assert left.start < right.start < left.end < right.end
        assert COUNT(text[right.start : left.end]) <= 4


def test_a_chunk_has_the_headings_that_its_start_lies_under() -> None:
    by_size = {size: {c.text: c.heading_path for c in chunker(size).chunks(document(MARKDOWN))} for size in (4, 6)}
    assert by_size[4] == {
        "Before any heading.": (),
        "# One 🎉\r\n\r\nText of one.": ("One 🎉",),
        "## One point one": ("One 🎉", "One point one"),
        "Deeper text.\r\n\r\n### Deep\r\n\r\nDeepest.": ("One 🎉", "One point one"),
        "## One point two\r\n\r\nMore.": ("One 🎉", "One point two"),
        "Setext two\r\n==========": ("Setext two",),
        "```\r\n# not a heading\r\n```": ("Setext two",),
        "Last words.": ("Setext two",),
    }
    assert ("One 🎉", "One point one", "Deep") in by_size[6].values()


def test_plain_text_has_no_headings() -> None:
    chunks = chunker(6).chunks(document(MARKDOWN, "text"))
    assert {chunk.heading_path for chunk in chunks} == {()}


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_line_breaks_that_are_none_do_not_shift_headings(line_break: str) -> None:
    text = line_break.join(
        ["One\u2028two\x0bthree\x85four", "", "# First", "", "Under first.", "", "# Second", "", "Under second."]
    )
    paths = [(chunk.text, chunk.heading_path) for chunk in chunker(5).chunks(document(text))]
    assert [path for words, path in paths if "Under first" in words] == [("First",)]
    assert [path for words, path in paths if "Under second" in words] == [("Second",)]


def test_the_embedder_limits_the_size() -> None:
    text = " ".join(f"w{number}" for number in range(500))
    cutter = chunker(1000, max_tokens=64)
    whole = document(text, "text", title="A title " * 100)
    chunks = cutter.chunks(whole)
    assert max(COUNT(chunk.text) for chunk in chunks) == 64 - 16 - 4
    for chunk in chunks:
        assert COUNT(cutter.embedded_text(whole, chunk)) <= 64 - 4


def test_what_is_embedded() -> None:
    cutter = chunker(100)
    whole = document("# Keys\n\n## Rotation\n\nEvery ninety days.", title="Manual")
    (chunk,) = cutter.chunks(whole)
    assert chunk.heading_path == ("Keys",)
    assert cutter.embedded_text(whole, chunk) == f"Manual\nKeys\n{chunk.text}"
    same = document(whole.text, title="Keys")
    assert cutter.embedded_text(same, chunk) == f"Keys\n{chunk.text}"
    untitled = document("Just words.")
    assert cutter.embedded_text(untitled, cutter.chunks(untitled)[0]) == "Just words."


@given(ANY_TEXTS)
@settings(deadline=None)
def test_blank_documents_have_no_chunks_and_others_have(text: str) -> None:
    assert bool(chunker().chunks(document(text, "text"))) == bool(text.strip())


def test_sizes_are_tokens_of_the_real_model(embedder: Embedder) -> None:
    text = "Tokenization of uncharacteristically polysyllabic words differs from counting whitespace. " * 30
    chunks = Chunker(embedder.count_tokens, 40, 0, embedder.info.max_tokens).chunks(document(text, "text"))
    counts = [embedder.count_tokens(chunk.text) for chunk in chunks]
    assert max(counts) <= 40
    assert min(counts[:-1]) > 10


@given(ANY_TEXTS, st.integers(1, 40), st.integers(0, 39))
@settings(deadline=None)
@example("one\ftwo\f\fthree words here", 2, 1)
def test_chunks_of_paged_text_keep_to_their_page(text: str, size: int, overlap: int) -> None:
    for chunk in chunker(size, min(overlap, size - 1)).chunks(document(text, "paged")):
        assert "\f" not in chunk.text
        assert chunk.page == 1 + text[: chunk.start].count("\f")
        assert chunk.text == text[chunk.start : chunk.end]


def test_other_text_has_no_pages() -> None:
    assert {chunk.page for chunk in chunker().chunks(document("one\ftwo", "text"))} == {None}
