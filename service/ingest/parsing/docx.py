"""DOCX to Markdown: by mammoth to HTML, and from there the way of all HTML."""

import zipfile
from xml.etree import ElementTree as XmlTree

import mammoth

from service.errors import UnsupportedMediaTypeError
from service.ingest.loaders import LoadedText, load_html
from service.ingest.parsing.archive import xml_archive
from service.ingest.parsing.limits import ParseLimits
from service.ingest.parsing.title import sensible_title

_CONTENT_TYPES = "[Content_Types].xml"
_WORD_DOCUMENT = b"wordprocessingml"  # in the media type of the main part, of documents, templates and their macros
_PROPERTIES = "docProps/core.xml"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
# What mammoth does not know by itself. HTML and Markdown end at level 6.
_STYLES = "\n".join(
    [
        "p[style-name='Title'] => h1:fresh",
        "p[style-name='Subtitle'] => p:fresh",
        *(f"p[style-name='{word} {level}'] => h6:fresh" for word in ("Heading", "heading") for level in (7, 8, 9)),
    ]
)


def read_docx(name: str, data: bytes, limits: ParseLimits) -> LoadedText:
    """Headings, paragraphs, lists, tables and notes as Markdown.

    Raises:
        UnsupportedMediaTypeError: it is no Word document.
        UnreadableDocumentError, DocumentTooLargeError: see ``xml_archive``.
    """
    file = xml_archive(name, data, limits)
    with zipfile.ZipFile(file) as archive:
        if _CONTENT_TYPES not in archive.namelist() or _WORD_DOCUMENT not in archive.read(_CONTENT_TYPES):
            raise UnsupportedMediaTypeError(f"{name!r} is an archive, but no Word document")
        title = sensible_title(_title(archive))
    html = mammoth.convert_to_html(
        file,
        style_map=_STYLES,
        include_embedded_style_map=False,
        external_file_access=False,
        convert_image=lambda _: [],
    ).value
    loaded = load_html(name, html)
    return LoadedText(title or loaded.title, loaded.text, "markdown")


def _title(archive: zipfile.ZipFile) -> str | None:
    if _PROPERTIES not in archive.namelist():
        return None
    root = XmlTree.fromstring(archive.read(_PROPERTIES))  # noqa: S314  it has no DTD: xml_archive lets none pass
    return root.findtext(_TITLE)
