"""Bytes to text."""

import codecs

import pytest

from service.errors import UnsupportedMediaTypeError
from service.ingest.loaders import LoadedText, decode_text, load_file

HTML = """<!doctype html><html><head><title>Bees &amp; hives</title><meta name="x" content="y">
<style>p { color: red }</style><script>alert("no")</script></head>
<body><h1>Keeping bees</h1><p>They <b>hum</b> &lt;loudly&gt;.</p><img src="x.png" alt="gone">
<ul><li>one</li><li>two</li></ul><table><tr><th>a</th></tr><tr><td>b</td></tr></table></body></html>"""


def test_plain_text_is_kept_as_it_is() -> None:
    data = "# Not a heading\r\n caf\u00e9 🎉 \t\r\n".encode()
    assert load_file("folder/notes.TXT", data) == LoadedText("notes.TXT", data.decode(), "text")


@pytest.mark.parametrize("name", ["a.md", "b.MARKDOWN"])
def test_markdown_has_its_first_heading_as_title(name: str) -> None:
    text = "intro\r\n\r\n## Sub\r\n\r\n# The *title*\r\n\r\n# Another\r\n"
    assert load_file(name, text.encode()) == LoadedText("The *title*", text, "markdown")
    assert load_file(name, b"no heading").title == name


def test_html_becomes_markdown() -> None:
    loaded = load_file("page.html", HTML.encode())
    assert (loaded.title, loaded.format) == ("Bees & hives", "markdown")
    assert "# Keeping bees" in loaded.text
    assert "They **hum**" in loaded.text
    assert "- one" in loaded.text
    for gone in ("alert", "color", "x.png", "title:", "---\ntitle"):
        assert gone not in loaded.text


def test_html_without_a_title_takes_its_heading_or_its_name() -> None:
    assert load_file("a.htm", b"<h1>Top</h1><p>x</p>").title == "Top"
    assert load_file("a.htm", b"<p>x</p>").title == "a.htm"


@pytest.mark.parametrize(
    "html", ["", "<", "<p", "</p></p>", "<a<b<c>", "<p>" * 3000, "<!--", "&#0;&#xD800;", "<table><td>x"]
)
def test_broken_html_is_read_or_refused(html: str) -> None:
    assert isinstance(load_file("a.html", html.encode()).text, str)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("caf\u00e9".encode(), "café"),
        (codecs.BOM_UTF8 + "café".encode(), "café"),
        (codecs.BOM_UTF16_LE + "café🎉".encode("utf-16-le"), "café🎉"),
        (codecs.BOM_UTF16_BE + "café🎉".encode("utf-16-be"), "café🎉"),
        (b"", ""),
    ],
)
def test_encodings(data: bytes, text: str) -> None:
    assert decode_text("a.txt", data) == text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("café".encode("latin-1"), r"'a\.txt' is not UTF-8 text: byte 0xe9 at offset 3"),
        (codecs.BOM_UTF8 + b"ab\xff", r"is not UTF-8 text: byte 0xff at offset 5"),
        (codecs.BOM_UTF16_LE + b"a\x00\x00\xd8", "is not UTF-16-LE text: byte 0x00 at offset 4"),
        (codecs.BOM_UTF16_LE + b"a", "is not UTF-16-LE text: byte 0x61 at offset 2"),
        (codecs.BOM_UTF32_LE + "a".encode("utf-32-le"), "is not text: NUL character at offset 0"),
        (b"a\x00b", "is not text: NUL character at offset 1"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "byte 0x89 at offset 0"),
    ],
)
def test_what_is_not_text(data: bytes, said: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match=said):
        load_file("a.txt", data)


@pytest.mark.parametrize(
    ("name", "shown"), [("a.odt", "'.odt'"), ("README", r"'\(none\)'"), (".md", r"'\(none\)'"), ("a.md.gz", "'.gz'")]
)
def test_unknown_suffixes_name_those_that_are_known(name: str, shown: str) -> None:
    with pytest.raises(
        UnsupportedMediaTypeError,
        match=f"files of type {shown} are not read; .txt, .text.* and .jsonl by",
    ):
        load_file(name, b"text")
