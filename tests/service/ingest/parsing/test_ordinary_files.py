"""What good files say."""

from collections.abc import Callable
from typing import Any

import pytest

from indexes.base import Document
from models.hashing import HashingEmbedder
from service.errors import UnsupportedMediaTypeError
from service.ingest.chunking import Chunker
from service.ingest.loaders import LoadedText, load_file


def paragraph(text: str, style: str = "") -> str:
    return f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>'


def chunks_of(loaded: LoadedText) -> Any:  # noqa: ANN401
    document = Document("d", loaded.title, loaded.text, {}, None, loaded.format, b"")
    return Chunker(HashingEmbedder().count_tokens, 8, 0, 256).chunks(document)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.txt", "plain \U0001f389 text\r\n".encode()),
        ("b.MD", b"# Title\n\ntext"),
        ("c.htm", b"<title>T</title><h1>Top</h1><p>text"),
    ],
)
def test_text_is_read_as_in_this_process(parsing: Any, name: str, data: bytes) -> None:  # noqa: ANN401
    assert parsing.parse(name, data) == load_file(name, data)


def test_a_pdf_has_pages(parsing: Any, pdf: Callable[..., bytes]) -> None:  # noqa: ANN401
    loaded = parsing.parse("report.pdf", pdf(["First page.\nIts second line.", "", "Third page."], "Annual report"))
    assert loaded == LoadedText("Annual report", "First page.\nIts second line.\f\fThird page.", "paged")
    assert [(chunk.page, chunk.text) for chunk in chunks_of(loaded)] == [
        (1, "First page.\nIts second line."),
        (3, "Third page."),
    ]


@pytest.mark.parametrize(
    "title", ["", "untitled", "Microsoft Word - report.doc", "C:/tmp/report.docx", "Document1", "7"]
)
def test_a_title_that_says_nothing_gives_way_to_the_name(
    parsing: Any,  # noqa: ANN401
    pdf: Callable[..., bytes],
    title: str,
) -> None:
    assert parsing.parse("folder/report.pdf", pdf(["text"], title)).title == "report.pdf"


def test_words_that_a_line_divides_are_whole(parsing: Any, pdf: Callable[..., bytes]) -> None:  # noqa: ANN401
    assert parsing.parse("a.pdf", pdf(["under-\nstanding of\nthe thing"])).text == "understanding of\nthe thing"


def test_a_docx_has_headings_lists_and_tables(parsing: Any, docx: Callable[..., bytes]) -> None:  # noqa: ANN401
    table = "".join(
        f"<w:tr>{''.join(f'<w:tc>{paragraph(cell)}</w:tc>' for cell in row)}</w:tr>" for row in ("ab", "cd")
    )
    body = "".join(
        [
            paragraph("Keeping bees", "H1"),
            paragraph("They hum &amp; fly."),
            paragraph("In winter", "H2"),
            paragraph("They cluster."),
            f"<w:tbl>{table}</w:tbl>",
            paragraph("Deep", "H8"),
            paragraph("Last."),
        ]
    )
    loaded = parsing.parse("bees.docx", docx(body, "About bees"))
    assert (loaded.title, loaded.format) == ("About bees", "markdown")
    for said in ("# Keeping bees", "They hum & fly.", "## In winter", "| a | b |", "| c | d |", "###### Deep"):
        assert said in loaded.text
    paths = {chunk.text: chunk.heading_path for chunk in chunks_of(loaded)}
    assert any(path == ("Keeping bees", "In winter") and "cluster" in text for text, path in paths.items())
    assert parsing.parse("bees.docx", docx(body)).title == "Keeping bees"


def test_lists_of_a_docx(parsing: Any, docx: Callable[..., bytes]) -> None:  # noqa: ANN401
    item = (
        '<w:p><w:pPr><w:numPr><w:ilvl w:val="0"/><w:numId w:val="7"/></w:numPr></w:pPr><w:r><w:t>{}</w:t></w:r></w:p>'
    )
    loaded = parsing.parse("a.docx", docx(item.format("one") + item.format("two")))
    assert [line.strip("-* ") for line in loaded.text.splitlines() if line] == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.pdf", b"plain text", "is no PDF"),
        ("a.docx", b"%PDF-1.4", "is not a zip archive"),
        ("a.txt", b"%PDF-1.4\xff", "is not UTF-8"),
        ("a.exe", b"MZ", "files of type '.exe' are not read"),
    ],
)
def test_files_that_are_not_what_they_say(parsing: Any, name: str, data: bytes, said: str) -> None:  # noqa: ANN401
    with pytest.raises(UnsupportedMediaTypeError, match=said):
        parsing.parse(name, data)


def test_an_archive_of_another_kind(parsing: Any, zipped: Callable[..., bytes]) -> None:  # noqa: ANN401
    sheet = {"[Content_Types].xml": b"<Types>spreadsheetml</Types>", "xl/workbook.xml": b"<w/>"}
    with pytest.raises(UnsupportedMediaTypeError, match="is an archive, but no Word document"):
        parsing.parse("a.docx", zipped(sheet))


def test_outcomes_are_counted(parsing: Any) -> None:  # noqa: ANN401
    def count(**labels: str) -> float:
        return parsing.metrics.registry.get_sample_value("quarry_parses_total", labels) or 0

    before = count(type="text", outcome="ok"), count(type="pdf", outcome="unsupported")
    parsing.parse("a.txt", b"text")
    with pytest.raises(UnsupportedMediaTypeError):
        parsing.parse("a.pdf", b"text")
    assert (count(type="text", outcome="ok"), count(type="pdf", outcome="unsupported")) == (
        before[0] + 1,
        before[1] + 1,
    )


def test_a_title_has_an_end(parsing: Any) -> None:  # noqa: ANN401
    assert parsing.parse("a.md", b"# " + b"x" * 5000).title == "x" * 1000
