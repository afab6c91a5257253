"""PDF to paged text, by PDFium."""

import re
import unicodedata

import pypdfium2
from pypdfium2.raw import FPDF_ERR_PASSWORD

from service.errors import DocumentTooLargeError, UnreadableDocumentError, UnsupportedMediaTypeError
from service.ingest.loaders import LoadedText
from service.ingest.parsing.limits import ParseLimits
from service.ingest.parsing.title import sensible_title

_HEADER, _HEADER_WITHIN = b"%PDF-", 1024
# PDFium's sign for a hyphen at the end of a line, and for the line's end after it. Before a small letter it divides a
# word; elsewhere it may be a dash.
_DIVIDED_WORD = re.compile(r"(?<=\w)[\x02\ufffe]\s?(?=[^\W\d_])")
_HYPHEN = re.compile(r"[\x02\ufffe]\s?")
_LINE_END = re.compile(r"\r\n?|[\f\v\x85\u2028\u2029]")
_CONTROLS = dict.fromkeys(
    code for code in range(160) if unicodedata.category(chr(code)) == "Cc" and chr(code) not in "\n\t"
)


def read_pdf(name: str, data: bytes, limits: ParseLimits) -> LoadedText:
    """Text of every page, separated by form feeds. A page that cannot be read is empty.

    Raises:
        UnsupportedMediaTypeError: it is no PDF.
        UnreadableDocumentError: encrypted, or damaged beyond its last page.
        DocumentTooLargeError: too many pages, or too much text.
    """
    if _HEADER not in data[:_HEADER_WITHIN]:
        raise UnsupportedMediaTypeError(f"{name!r} is no PDF: it does not begin with {_HEADER.decode()}")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        why = "it is encrypted; remove its password" if error.err_code == FPDF_ERR_PASSWORD else "it is damaged"
        raise UnreadableDocumentError(f"{name!r} cannot be read as PDF: {why}") from None
    if len(document) > limits.pages:
        raise DocumentTooLargeError(f"{name!r} has {len(document)} pages; the limit is {limits.pages} (parsing.pages)")
    text = "\f".join(_pages(name, document, limits))
    return LoadedText(sensible_title(document.get_metadata_value("Title")) or name, text, "paged")


def _pages(name: str, document: pypdfium2.PdfDocument, limits: ParseLimits) -> list[str]:
    pages: list[str] = []
    characters = unreadable = 0
    for number in range(len(document)):
        try:
            pages.append(_page_text(document, number))
        except pypdfium2.PdfiumError:
            pages.append("")
            unreadable += 1
        characters += len(pages[-1]) + 1
        limits.check_characters(name, characters - 1)
    if unreadable == len(pages):
        raise UnreadableDocumentError(f"{name!r} cannot be read as PDF: none of its {len(pages)} pages can")
    return pages


def _page_text(document: pypdfium2.PdfDocument, number: int) -> str:
    page = document[number]
    try:
        text_page = page.get_textpage()
        try:
            return _plain(text_page.get_text_bounded())
        finally:
            text_page.close()
    finally:
        page.close()


def _plain(text: str) -> str:
    """Lines as text files have them, divided words whole, without the characters that text does not have."""
    whole = _HYPHEN.sub("-\n", _DIVIDED_WORD.sub(_joined, text))
    return _LINE_END.sub("\n", whole).translate(_CONTROLS).strip("\n")


def _joined(match: re.Match[str]) -> str:
    return "" if match.string[match.end()].islower() else "-\n"
