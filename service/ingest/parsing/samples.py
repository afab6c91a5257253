"""A small file of every type, read once so that everything is loaded which a child cannot load any more."""

import encodings.cp437  # of names in archives
import encodings.idna
import encodings.latin_1
import encodings.utf_16_be
import encodings.utf_16_le  # noqa: F401  on behalf of all five
import io
import zipfile
from collections.abc import Callable
from contextlib import suppress

from service.errors import QuarryError
from service.ingest.loaders import LoadedText
from service.ingest.parsing.limits import ParseLimits

_LIMITS = ParseLimits(cpu_seconds=1, memory_bytes=1, expanded_bytes=1 << 20, members=100, pages=10, characters=10_000)
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PARTS = {
    "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types"><Override PartName="/word/document.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
    "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="r1" '
    f'Type="{_OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
    "docProps/core.xml": '<p xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Some title</dc:title></p>',
    "word/document.xml": f'<w:document xmlns:w="{_WORD}"><w:body><w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr>'
    "<w:r><w:t>Heading</w:t></w:r></w:p><w:tbl><w:tr><w:tc><w:p><w:r><w:t>Cell</w:t></w:r></w:p></w:tc></w:tr>"
    "</w:tbl></w:body></w:document>",
}
_OBJECTS = (
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Kids[3 0 R]/Count 1>>",
    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
    "<</Length 39>>stream\nBT /F 12 Tf 20 100 Td (Some text) Tj ET\nendstream",
    "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
)


def read_all(read: Callable[[str, bytes, ParseLimits], LoadedText]) -> None:
    """Read one file of every type, and one of every type that is broken."""
    for name, data in (
        ("a.txt", b"text"),
        ("a.md", b"# Heading\n\n- text\n"),
        ("a.html", b"<title>Title</title><h1>Heading</h1><table><tr><td>text</td></tr></table>"),
        ("a.pdf", _pdf()),
        ("a.docx", _docx()),
    ):
        read(name, data, _LIMITS)
        with suppress(QuarryError):
            read(name, data[:40] + b"\xff\xff", _LIMITS)


def _docx() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _PARTS.items():
            archive.writestr(name, content)
    return file.getvalue()


def _pdf() -> bytes:
    """Without a table of objects, which PDFium then makes itself."""
    objects = "".join(f"{number} 0 obj{content}endobj\n" for number, content in enumerate(_OBJECTS, 1))
    return f"%PDF-1.4\n{objects}trailer<</Root 1 0 R>>\n".encode()
