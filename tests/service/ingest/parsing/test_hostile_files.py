"""Files made to hurt: cut off within their limits, with the right error."""

import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from service.errors import (
    DocumentTooLargeError,
    QuarryError,
    UnreadableDocumentError,
    UnsupportedMediaTypeError,
)
from service.ingest.loaders import LoadedText

MIB = 1 << 20
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
PAGES = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
PAGE = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 5 0 R>>"
ROOT = b"<</Type/Catalog/Pages 2 0 R>>"
ABOUT_THE_FILE = (UnsupportedMediaTypeError, UnreadableDocumentError, DocumentTooLargeError)


def outcome(parsing: Any, name: str, data: bytes, **limits: Any) -> LoadedText | QuarryError:  # noqa: ANN401
    """What is read, or what is said about the file; nothing else is let through, and nothing is left behind."""
    try:
        found: LoadedText | QuarryError = parsing.parse(name, data, **limits)
    except ABOUT_THE_FILE as error:
        found = error
    assert parsing.children() == []
    return found


def zeros(size: int, levels: int) -> bytes:
    """``size`` zero bytes, compressed so many times."""
    packer = zlib.compressobj(9)
    data = b"".join([*(packer.compress(bytes(MIB)) for _ in range(size // MIB)), packer.flush()])
    for _ in range(levels - 1):
        data = zlib.compress(data, 9)
    return data


def test_an_archive_that_says_it_expands_to_too_much(parsing: Any, docx: Callable[..., bytes]) -> None:  # noqa: ANN401
    bomb = docx("", parts={"word/media/a.bin": bytes(40 * MIB)})
    assert len(bomb) < MIB
    with pytest.raises(DocumentTooLargeError, match=rf"expands to \d+ bytes; the limit is {8 * MIB} .*expanded_bytes"):
        parsing.parse("a.docx", bomb, expanded_bytes=8 * MIB)


def test_an_archive_whose_directory_lies(parsing: Any, docx: Callable[..., bytes]) -> None:  # noqa: ANN401
    """It says that the bomb is 1000 bytes."""
    bomb = docx("", parts={"word/numbering.xml": b"<a>" + b" " * (40 * MIB) + b"</a>"})
    size = (40 * MIB + 7).to_bytes(4, "little")
    assert bomb.count(size) == 2
    lying = bomb.replace(size, (1000).to_bytes(4, "little"))
    assert isinstance(outcome(parsing, "a.docx", lying, expanded_bytes=8 * MIB), UnreadableDocumentError)


def test_what_expands_within_the_limit_but_not_within_memory(parsing: Any, docx: Callable[..., bytes]) -> None:  # noqa: ANN401
    body = "<w:p><w:r><w:t>x</w:t></w:r></w:p>" * 200_000
    with pytest.raises(DocumentTooLargeError, match=r"takes more than \d+ bytes to read \(parsing.memory_bytes\)"):
        parsing.parse("a.docx", docx(body), memory_bytes=64 * MIB)


def test_too_many_members(parsing: Any, docx: Callable[..., bytes]) -> None:  # noqa: ANN401
    many = docx("", parts={f"word/{number}.xml": b"<a/>" for number in range(200)})
    with pytest.raises(DocumentTooLargeError, match=r"archive of 206 members; the limit is 100 \(parsing.members\)"):
        parsing.parse("a.docx", many, members=100)


def test_archives_in_archives_are_not_opened(parsing: Any, docx: Callable[..., bytes]) -> None:  # noqa: ANN401
    inner = docx("<w:p><w:r><w:t>inner</w:t></w:r></w:p>")
    for _ in range(20):
        inner = docx("<w:p><w:r><w:t>outer</w:t></w:r></w:p>", parts={"word/embeddings/a.docx": inner})
    assert parsing.parse("a.docx", inner).text.strip() == "outer"


def test_external_entities_are_not_read(parsing: Any, docx: Callable[..., bytes], tmp_path: Path) -> None:  # noqa: ANN401
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    text = "<w:p><w:r><w:t>&e;</w:t></w:r></w:p>"
    for system in (secret.as_uri(), "http://127.0.0.1:9/e"):
        document = (
            f'<!DOCTYPE d [<!ENTITY e SYSTEM "{system}">]><w:document xmlns:w="{WORD}"><w:body>{text}</w:body>'
            "</w:document>"
        )
        with pytest.raises(UnreadableDocumentError, match="document type declaration") as caught:
            parsing.parse("a.docx", docx("", parts={"word/document.xml": document.encode()}))
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_of_entities_are_not_expanded(parsing: Any, docx: Callable[..., bytes], encoding: str) -> None:  # noqa: ANN401
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    document = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE d [<!ENTITY l0 "ha">{laughs}]><d>&l11;</d>'
    for part in ("word/document.xml", "word/styles.xml", "docProps/core.xml", "_rels/.rels"):
        with pytest.raises(UnreadableDocumentError, match="document type declaration"):
            parsing.parse("a.docx", docx("", parts={part: document.encode(encoding)}))


def test_elements_within_elements(parsing: Any, docx: Callable[..., bytes]) -> None:  # noqa: ANN401
    with pytest.raises(UnreadableDocumentError, match="more than 256 elements lie within each other"):
        parsing.parse("a.docx", docx("<w:p>" * 100_000 + "</w:p>" * 100_000))


def test_links_of_a_docx_to_files_and_addresses_are_not_followed(
    parsing: Any,  # noqa: ANN401
    docx: Callable[..., bytes],
    tmp_path: Path,
) -> None:
    (tmp_path / "image.png").write_bytes(b"the secret")
    relation = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="i" '
        'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/image" TargetMode="External" '
        f'Target="{(tmp_path / "image.png").as_uri()}"/></Relationships>'
    )
    drawing = (
        '<w:p><w:r><w:t>text</w:t><w:drawing><wp:inline xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/'
        'wordprocessingDrawing"><a:blip xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" xmlns:r="http://'
        'schemas.openxmlformats.org/officeDocument/2006/relationships" r:link="i"/></wp:inline></w:drawing></w:r></w:p>'
    )
    loaded = parsing.parse("a.docx", docx(drawing, parts={"word/_rels/document.xml.rels": relation.encode()}))
    assert loaded.text.strip() == "text"


def test_a_bomb_in_a_pdf(parsing: Any, pdf_of: Callable[..., bytes]) -> None:  # noqa: ANN401
    content = zeros(1024 * MIB, 2)
    assert len(content) < MIB
    stream = b"<</Filter[/FlateDecode/FlateDecode]/Length %d>>stream\n%b\nendstream" % (len(content), content)
    before = psutil.Process().memory_info().rss
    found = outcome(parsing, "a.pdf", pdf_of([ROOT, PAGES, PAGE, b"<<>>", stream]), memory_bytes=256 * MIB)
    assert isinstance(found, ABOUT_THE_FILE) or found.text == ""
    assert psutil.Process().memory_info().rss < before + 128 * MIB


def test_a_pdf_of_many_pages(parsing: Any, pdf: Callable[..., bytes]) -> None:  # noqa: ANN401
    data = pdf([f"page {number}" for number in range(10_000)])
    with pytest.raises(DocumentTooLargeError, match=r"has 10000 pages; the limit is 5000 \(parsing.pages\)"):
        parsing.parse("a.pdf", data, pages=5000)
    text = parsing.parse("a.pdf", data).text
    assert text.split("\f")[::3333] == ["page 0", "page 3333", "page 6666", "page 9999"]
    assert text.count("\f") == 9_999


@pytest.mark.parametrize("name", ["a.pdf", "a.docx", "a.txt", "a.html"])
def test_text_beyond_the_limit(parsing: Any, pdf: Callable[..., bytes], docx: Callable[..., bytes], name: str) -> None:  # noqa: ANN401
    words = "some words " * 20
    data = {
        "a.pdf": pdf(["\n".join(["some words"] * 20)] * 10),
        "a.docx": docx(f"<w:p><w:r><w:t>{words * 10}</w:t></w:r></w:p>"),
    }.get(name, words.encode() * 10)
    with pytest.raises(DocumentTooLargeError, match="more than 1000 characters of text"):
        parsing.parse(name, data, characters=1000)


LOOPS: dict[str, list[bytes]] = {
    "pages within themselves": [ROOT, b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2000000>>"],
    "pages within each other": [ROOT, b"<</Type/Pages/Kids[3 0 R]/Count 9>>", b"<</Type/Pages/Kids[2 0 R]/Count 9>>"],
    "a count without pages": [ROOT, b"<</Type/Pages/Kids[]/Count 9999>>"],
    "a parent that is its child": [ROOT, b"<</Type/Pages/Kids[3 0 R]/Count 1/Parent 3 0 R>>", PAGE],
    "a form that draws itself": [
        ROOT,
        PAGES,
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 5 0 R/Resources<</XObject<</X 6 0 R>>>>>>",
        b"<<>>",
        b"<</Length 5>>stream\n/X Do\nendstream",
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>/Length 11>>stream\n"
        b"/X Do /X Do\nendstream",
    ],
    "a length that is its own": [ROOT, PAGES, PAGE, b"<<>>", b"<</Length 5 0 R>>stream\nBT ET\nendstream"],
    "a stream of objects within itself": [
        ROOT, PAGES, PAGE, b"<<>>",
        b"<</Type/ObjStm/N 1/First 4/Extends 5 0 R/Length 5 0 R>>stream\n5 0 5 0 R\nendstream",
    ],
    "arrays within arrays": [ROOT, PAGES, PAGE, b"<<>>", b"[" * 300_000],
    "states within states": [
        ROOT, PAGES, PAGE, b"<<>>", b"<</Length 600000>>stream\n%b\nendstream" % (b"q " * 300_000),
    ],
}  # fmt: skip


@pytest.mark.parametrize("loop", LOOPS)
def test_a_pdf_that_goes_round_in_circles(parsing: Any, pdf_of: Callable[..., bytes], loop: str) -> None:  # noqa: ANN401
    outcome(parsing, "a.pdf", pdf_of(LOOPS[loop]), cpu_seconds=5, seconds=60)


def test_a_table_of_objects_that_follows_itself(parsing: Any, pdf_of: Callable[..., bytes]) -> None:  # noqa: ANN401
    data = pdf_of([ROOT, PAGES, PAGE])
    table = data.index(b"xref")
    outcome(parsing, "a.pdf", pdf_of([ROOT, PAGES, PAGE], b"/Root 1 0 R/Prev %d" % table), cpu_seconds=5, seconds=60)


@pytest.mark.parametrize("html", ["<div>" * 200_000, "<table><tr><td>" * 20_000, "&" * 500_000, "<a href='" * 50_000])
def test_html_without_an_end(parsing: Any, html: str) -> None:  # noqa: ANN401
    outcome(parsing, "a.html", html.encode(), cpu_seconds=5, seconds=60)


NAMES = ["../../etc/passwd.txt", "/etc/shadow.txt", "a\0b.txt", "\0.txt", "x" * 100_000 + ".txt", "..txt", "\ud800.txt",
         "C:\\windows\\a.txt", "\n\r\t.txt", "{}%s%n.txt", "~/.ssh/id.txt"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_names_are_only_names(parsing: Any, name: str) -> None:  # noqa: ANN401
    loaded = parsing.parse(name, b"what the file says")
    assert loaded.text == "what the file says"
    assert "/" not in loaded.title
    assert len(loaded.title) <= 1000
    loaded.title.encode()


SEED = 20_26


@pytest.mark.parametrize("suffix", ["pdf", "docx", "html", "md", "txt"])
def test_damaged_files_are_read_or_refused(
    parsing: Any,  # noqa: ANN401
    pdf: Callable[..., bytes],
    docx: Callable[..., bytes],
    suffix: str,
) -> None:
    good = {"pdf": pdf(["one", "two"], "A title"), "docx": docx("<w:p><w:r><w:t>text</w:t></w:r></w:p>", "A title")}
    data = good.get(suffix, b"<title>t</title>\n# Heading\n\ntext & more\n")
    rng = random.Random(SEED)  # noqa: S311  for damage that can be made again
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(25):
        outcome(parsing, f"a.{suffix}", mutated(rng, data), cpu_seconds=5)
    assert len(os.listdir("/proc/self/fd")) == descriptors


def mutated(rng: random.Random, data: bytes) -> bytes:
    """Cut, with bytes changed, or something else altogether."""
    changed = bytearray(data)
    match rng.randrange(4):
        case 0:
            del changed[rng.randrange(len(changed)) :]
        case 1:
            start = rng.randrange(len(changed))
            changed[start : start + rng.randrange(50)] = rng.randbytes(rng.randrange(50))
        case 2:
            for _ in range(rng.randrange(1, 20)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
        case _:
            changed[10:] = rng.randbytes(rng.randrange(1000))
    return bytes(changed)


def test_an_encrypted_archive(parsing: Any, docx: Callable[..., bytes]) -> None:  # noqa: ANN401
    data = bytearray(docx("text"))
    entry = data.index(b"PK\x01\x02")
    data[entry + 8] |= 1
    with pytest.raises(UnreadableDocumentError, match="is encrypted"):
        parsing.parse("a.docx", bytes(data))
    with pytest.raises(UnreadableDocumentError, match="is encrypted, or in the format of Word before 2007"):
        parsing.parse("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512))
