"""Bytes of a file to text: plain text, Markdown, HTML."""

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from html_to_markdown import ConversionOptions, convert
from markdown_it import MarkdownIt

from service.errors import UnsupportedMediaTypeError
from service.ingest.file_types import FileType, file_type

if TYPE_CHECKING:  # that room brings NumPy and its threads, and parsing children are forked from where this is loaded
    from indexes.base import TextFormat

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


@dataclass(frozen=True, slots=True)
class LoadedText:
    """What a file says.

    Attributes:
        title: from the file's own title or heading; its name where it has none.
        format: of ``text``; HTML and DOCX become Markdown, the pages of a PDF are told apart.
    """

    title: str
    text: str
    format: "TextFormat"


def load_file(name: str, data: bytes) -> LoadedText:
    """Text of a file that is text itself, read as its suffix says.

    Raises:
        UnsupportedMediaTypeError: a suffix that is not known or not one of text, or bytes that are not text.
    """
    path, type_ = PurePosixPath(name), file_type(name)
    loader = _LOADERS.get(type_)
    if loader is None:
        raise UnsupportedMediaTypeError(f"{name!r}: files of type {path.suffix!r} are only read by parser processes")
    return loader(path.name, decode_text(name, data))


def decode_text(name: str, data: bytes) -> str:
    """UTF-8, or UTF-16 with a byte order mark.

    Raises:
        UnsupportedMediaTypeError: other encodings, and NUL characters, which text does not have.
    """
    bom, encoding = next(((bom, name) for bom, name in _BOMS if data.startswith(bom)), (b"", "utf-8"))
    try:
        text = data[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise UnsupportedMediaTypeError(
            f"{name!r} is not {encoding.upper()} text: byte 0x{data[len(bom) + error.start]:02x} "
            f"at offset {len(bom) + error.start}"
        ) from None
    if "\0" in text:
        raise UnsupportedMediaTypeError(f"{name!r} is not text: NUL character at offset {text.index(chr(0))}")
    return text


def _load_text(name: str, text: str) -> LoadedText:
    return LoadedText(name, text, "text")


def _load_markdown(name: str, text: str) -> LoadedText:
    tokens = MarkdownIt("commonmark").disable("inline").parse(text)
    titles = [
        content.content
        for token, content in pairwise(tokens)
        if token.type == "heading_open" and token.tag == "h1" and content.content
    ]
    return LoadedText(titles[0] if titles else name, text, "markdown")


def load_html(name: str, text: str) -> LoadedText:
    """The Markdown that says what HTML says, without its images.

    Raises:
        UnsupportedMediaTypeError: it cannot be read as HTML.
    """
    try:
        converted = convert(text, ConversionOptions(skip_images=True))
        markdown = convert(text, ConversionOptions(skip_images=True, extract_metadata=False)).content or ""
    except Exception as error:  # a native parser on hostile input: whatever it raises is about this file
        raise UnsupportedMediaTypeError(f"{name!r} cannot be read as HTML: {error}") from error
    title = converted.metadata.document.title
    loaded = _load_markdown(name, markdown)
    return LoadedText(title or loaded.title, markdown, "markdown")


_LOADERS: dict[FileType, Callable[[str, str], LoadedText]] = {
    "text": _load_text,
    "markdown": _load_markdown,
    "html": load_html,
}
