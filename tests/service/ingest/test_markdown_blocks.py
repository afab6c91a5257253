"""What is in a paragraph is cut between sentences."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from indexes.base import Document
from models.base import Embedder
from service.ingest.chunking import Chunker
from service.ingest.markdown_blocks import MarkdownBlocks

CONDITION = "The operator may restart the server with {} only if no backup is running and the manager has agreed."
MARKS = [
    "`quarry restart`", "**a restart**", "*one* word", "[a link](http://x/y_z)", '"great care"', "it's -- well -- care",
    "<b>care</b>", "a\nline break", "a_name and _another_ one",
]  # fmt: skip
LINES = st.sampled_from(
    ["A *b* `c`", "- item _one_", "  goes on", "> quote", "| a | `b` |", "|---|---|", "```", "# **Head**", "===", "",
     "* star", "1. one `x`", "[ref]: http://x", "hard  ", "hard\\", "<div>", "    code `x`", "'q' \"r\" -- s", "***"]
)  # fmt: skip
TEXTS = st.tuples(st.lists(LINES, max_size=30), st.sampled_from(["\n", "\r\n", "\r"])).map(lambda p: p[1].join(p[0]))


@pytest.mark.parametrize("mark", MARKS)
def test_no_mark_in_a_sentence_is_a_place_to_cut_at(mark: str, embedder: Embedder) -> None:
    sentence = CONDITION.format(mark)
    chunker = Chunker(embedder.count_tokens, size=60, overlap=10, max_tokens=256)
    for fillers in range(1, 7):
        filler = " ".join(f"Rule {n} of the house says that tool {n} is kept on shelf {n}." for n in range(fillers))
        text = f"# Rules\n\n{filler} {sentence} Afterwards the log is signed."
        chunks = chunker.chunks(Document("rules", "", text, {}, None, "markdown", b""))
        assert any(sentence in chunk.text for chunk in chunks), [chunk.text for chunk in chunks]
        assert len(chunks) > 1 or fillers < 4


def test_blocks_stay_what_they_are() -> None:
    text = "# A `b`\n\n* one\n  goes `on`\n- two\n\n> a\n> b\n\n| `c` | d |\n|---|---|\n| *e* | f |\n\nhard  \n*b*\n"
    seen = "# A @b@\n\n* one   goes @on@\n- two\n\n> a > b\n\n| @c@ | d |\n|---|---|\n| @e@ | f |\n\nhard  \n@b@\n"
    assert MarkdownBlocks.of(text).levelled == seen.replace("@", "\N{RIGHT DOUBLE QUOTATION MARK}")


@pytest.mark.parametrize("text", ["```\na `b` *c*\nd\n```\n", "    a *b*\n    c\n", "<div>\n*a*\nb\n</div>\n", "***\n"])
def test_what_is_no_paragraph_is_left_alone(text: str) -> None:
    assert MarkdownBlocks.of(text).levelled == text


@given(st.one_of(TEXTS, st.text(max_size=200)))
@example("a\r\nb\rc\nd")
@example("a\0b `c`")
def test_every_character_keeps_its_place(text: str) -> None:
    levelled = MarkdownBlocks.of(text).levelled
    assert len(levelled) == len(text)
    assert [c.isalnum() for c in levelled] == [c.isalnum() for c in text]
